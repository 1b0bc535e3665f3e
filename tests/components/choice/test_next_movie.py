import keras
import numpy as np
import pytest

from components.choice.next_movie import NEVER, NextMovie

FIELDS = {"colour": 3}
TIME = 978_300_000  # of the last choice of users 1 and 2


@pytest.fixture
def layer():
    layer = NextMovie(
        4,
        5,
        FIELDS,
        users_input="u",
        movies_input="i",
        timestamp_input="t",
        rating_input="r",
        dim=2,
        pause_seconds=3600,
        rating_weight=0.5,
    )
    layer.build(dict.fromkeys(("u", "i", "t", "r", "colour"), (None,)))
    rng = np.random.default_rng(3)
    layer.set_weights([rng.normal(size=weight.shape).astype(weight.dtype) for weight in layer.weights])
    layer.last.assign([NEVER, TIME, TIME, NEVER])
    return layer


def score(layer, user, time, movie=3, colour=2, rating=4.0):
    ids = {"u": user, "i": movie, "t": time, "colour": colour}
    batch = {name: np.array([value]) for name, value in ids.items()}
    return float(layer({**batch, "r": np.array([rating], np.float32)})[0])


@pytest.mark.parametrize(
    ("user", "time", "gate"),
    [
        (1, TIME + 3600, 0),
        (1, TIME + 3601, 1),
        (2, TIME - 90_000, 0),
        (2, -1, 1),
        (3, TIME + 90_000, 0),  # has never chosen
        (3, -1, 0),
    ],
)
def test_is_the_formula_with_the_gate_of_the_moment(layer, user, time, gate):
    history = layer.history.numpy()[user].reshape(2, 2)[gate]
    vector = layer.start.numpy()[gate] + history + layer.effects["colour"].numpy()[2]
    expected = vector @ layer.movie.numpy()[3] + layer.bias.numpy()[3] + 0.5 * 4
    assert score(layer, user, time) == pytest.approx(expected, abs=1e-6)
    assert score(layer, user, time) != pytest.approx(score(layer, user, time, rating=5.0), abs=0.4)


def test_the_gates_differ(layer):
    assert abs(score(layer, 1, TIME) - score(layer, 1, -1)) > 0.1


def test_save_and_load(layer, tmp_path):
    inputs = {name: keras.Input((), dtype="int64", name=name) for name in ("u", "i", "t", "colour")}
    inputs["r"] = keras.Input((), name="r")
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    batch = {"u": [1, 2, 3], "i": [0, 2, 4], "t": [TIME, -1, TIME], "colour": [0, 1, 2], "r": [1.0, 3.5, 5.0]}
    batch = {name: np.array(value) for name, value in batch.items()}
    np.testing.assert_array_equal(loaded(batch), layer(batch))
    assert layer(batch).shape == (3,)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("dim", 0, "`dim` must be positive, got 0"),
        ("users", 0, "`users` must be positive, got 0"),
        ("rating_weight", -1.0, "`rating_weight` must not be negative, got -1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(layer, argument, value, message):
    config = layer.get_config()
    with pytest.raises(ValueError, match=message):
        NextMovie(**{**config, argument: value})


def test_other_inputs_are_refused(layer):
    other = NextMovie.from_config(layer.get_config())
    with pytest.raises(ValueError, match=r"`inputs` must be those of \['colour', 'i', 'r', 't', 'u'\]"):
        other.build({"u": (None,), "i": (None,)})
