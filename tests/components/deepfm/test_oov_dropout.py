import keras
import numpy as np
import pytest

from components.deepfm.oov_dropout import OovDropout


def test_replaces_its_share_evenly_over_the_buckets():
    layer = OovDropout(100, 4, 0.2, seed=1)
    indices = np.full(100_000, 7)
    outputs = layer(indices, training=True).numpy()
    assert outputs.dtype == np.int64
    replaced = outputs[outputs != 7]
    # Within five standard deviations of the binomial distribution.
    assert abs(len(replaced) - 20_000) < 5 * np.sqrt(100_000 * 0.2 * 0.8)
    values, counts = np.unique(replaced, return_counts=True)
    np.testing.assert_array_equal(values, [101, 102, 103, 104])
    assert np.abs(counts - len(replaced) / 4).max() < 5 * np.sqrt(len(replaced) * 0.25 * 0.75)


def test_draws_each_value_of_a_list_and_keeps_padding():
    layer = OovDropout(3, 1, 0.5, seed=1)
    outputs = layer(np.tile([1, 2, 0], (1000, 1)), training=True).numpy()
    assert set(outputs[:, 0]) == {1, 4}
    assert set(outputs[:, 1]) == {2, 4}
    assert set(outputs[:, 2]) == {0}
    assert 400 < np.sum(outputs[:, 0] != 1) < 600
    assert np.any((outputs[:, 0] == 1) != (outputs[:, 1] == 2))


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.5, None), (0.0, True)])
def test_passes_on(rate, training):
    indices = np.arange(5)
    np.testing.assert_array_equal(OovDropout(3, 1, rate, seed=1)(indices, training=training), indices)


def test_seed():
    indices = np.full(1000, 1)
    first, second, other = (
        OovDropout(3, 1, 0.5, seed=seed)(indices, training=True).numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)


def test_draws_anew_at_each_call():
    layer = OovDropout(3, 1, 0.5, seed=1)
    indices = np.full(1000, 1)
    assert np.any(layer(indices, training=True).numpy() != layer(indices, training=True).numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` must be positive, got 0"),
        ({"oov_buckets": 0}, "`oov_buckets` must be positive, got 0"),
        ({"rate": 1.0}, r"`rate` must be in \[0, 1\), got 1.0"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        OovDropout(**{"vocabulary_size": 3, "oov_buckets": 1, "rate": 0.1, **arguments})


def test_save_and_load(tmp_path):
    inputs = keras.Input((2,), dtype="int64")
    model = keras.Model(inputs, OovDropout(3, 2, 0.5, seed=4)(inputs))
    model.save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert (layer.vocabulary_size, layer.oov_buckets, layer.rate, layer.seed) == (3, 2, 0.5, 4)
    assert layer.output.dtype == "int64"
