import keras
import numpy as np
import pytest

from components.deepfm.user_drift import KEY_OF_USER, NEVER, UserDrift

SECONDS = [50.0, 4000.0]
TIMES = np.array([978_300_000, 978_300_030, 978_301_000])  # of user 2
LEVELS = np.array([[0.3, -0.1], [0.5, 0.2], [-0.4, 0.1]], np.float32)

STAGES = np.array([-0.2, -0.05, 0.1], np.float32)


@pytest.fixture
def layer():
    layer = UserDrift(rows=5, cells=5, seconds=SECONDS)
    layer.build([(None,), (None,)])
    other = 3 * KEY_OF_USER + 978_300_010  # of user 3
    layer.keys.assign([-1, *(2 * KEY_OF_USER + TIMES), other])
    layer.levels.assign([[0, 0], *LEVELS, [9, 9]])
    layer.since.assign([NEVER, NEVER, TIMES[0], 978_300_010, NEVER])
    layer.slope.assign(-0.1)
    layer.stages.assign([0, *STAGES, 9])
    layer.latest.assign(TIMES[2])
    return layer


def drift(layer, user, time):
    return float(layer([np.array([user]), np.array([time])])[0, 0])


def expected_path(time):
    """The mean of a Gaussian process with that covariance, given its values at TIMES."""
    total = 0.0
    for constant, values in zip(SECONDS, LEVELS.T.astype(float), strict=True):
        between = np.exp(-np.abs(TIMES[:, None] - TIMES[None]) / constant)
        total += np.exp(-np.abs(time - TIMES) / constant) @ np.linalg.solve(between, values)
    return total


@pytest.mark.parametrize("last", [False, True])  # user of the table
@pytest.mark.parametrize("after", [-500, -1, 0, 7, 30, 31, 500, 1000, 1001, 1030, 5000, 1_000_000])
def test_is_the_mean_of_a_gaussian_process(layer, last, after):
    if last:
        layer.keys.assign([-1, KEY_OF_USER, *(2 * KEY_OF_USER + TIMES)])
        layer.levels.assign([[0, 0], [9, 9], *LEVELS])
        layer.stages.assign([0, 9, *STAGES])
    time = TIMES[0] + after
    slope = -0.1 * np.log1p(max(after, 0) / 86_400)
    following = np.flatnonzero(time <= TIMES)
    stage = STAGES[following[0]] if len(following) else 0
    assert drift(layer, 2, time) == pytest.approx(expected_path(time) + slope + stage, abs=2e-5)


def test_of_a_user_who_has_not_rated_is_none(layer):
    assert [drift(layer, user, TIMES[1]) for user in (0, 1, 4)] == [0, 0, 0]


def test_fades_with_time(layer):
    layer.slope.assign(0)
    at_once, next_week = drift(layer, 2, TIMES[2] + 1), drift(layer, 2, TIMES[2] + 7 * 86_400)
    assert at_once == pytest.approx(-0.3, abs=0.02)
    assert next_week == pytest.approx(0, abs=1e-6)


def test_a_missing_timestamp_is_the_end_of_the_training_data(layer):
    assert (
        drift(layer, 2, -1)
        == drift(layer, 2, TIMES[2])
        == pytest.approx(-0.3 + 0.1 - 0.1 * np.log1p(1000 / 86_400))
    )


def test_has_nothing_to_train(layer):
    assert layer.trainable_weights == []


def test_rejects():
    with pytest.raises(ValueError, match="`rows` must be positive, got 0"):
        UserDrift(0, 1, [1.0])
    with pytest.raises(ValueError, match="`cells` must be positive, got 0"):
        UserDrift(1, 0, [1.0])
    with pytest.raises(ValueError, match=r"`seconds` must be one or more positive times, got \[-1.0\]"):
        UserDrift(1, 1, [-1.0])
    with pytest.raises(ValueError, match="`inputs` must be two of shape"):
        UserDrift(1, 1, [1.0])(np.array([1]))


def test_save_and_load(layer, tmp_path):
    inputs = [keras.Input((), dtype="int64"), keras.Input((), dtype="int64")]
    model = keras.Model(inputs, layer(inputs))
    batch = [np.array([2, 3, 1]), np.array([TIMES[1] + 5, TIMES[2], TIMES[0]])]
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(batch), model(batch))
