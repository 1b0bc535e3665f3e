import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.numeric_embedding import NumericEmbedding

VALUES = np.array([2.0, 0.0, -1.0], np.float32)


def _embedding(l2=0.0):
    layer = NumericEmbedding(2, l2=l2)
    layer.build((None,))
    layer.vector.assign([1.0, 3.0])
    return layer


def test_literal():
    np.testing.assert_array_equal(_embedding()(VALUES), [[2, 6], [0, 0], [-1, -3]])


def test_penalty():
    layer = _embedding(l2=0.1)
    layer(VALUES, training=True)
    np.testing.assert_allclose(layer.losses, [0.1 * (40 + 0 + 10) / 3], rtol=1e-6)
    layer(VALUES, training=False)
    assert layer.losses == []


def test_gradient_is_the_sum_of_the_values():
    layer = _embedding()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(VALUES))
    np.testing.assert_array_equal(tape.gradient(loss, layer.vector.value), [1, 1])


def test_rejects():
    with pytest.raises(ValueError, match="`dim` must be positive, got 0"):
        NumericEmbedding(0)
    with pytest.raises(ValueError, match=r"`l2` must not be negative, got -0\.5"):
        NumericEmbedding(1, l2=-0.5)
    with pytest.raises(ValueError, match=r"`inputs` must be of shape \[batch\]"):
        NumericEmbedding(1).build((None, 1))


def test_save_and_load(tmp_path):
    inputs = keras.Input(())
    model = keras.Model(inputs, NumericEmbedding(2, l2=0.5, seed=3)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layer = loaded.layers[-1]
    assert (layer.dim, layer.l2, layer.seed) == (2, 0.5, 3)
    np.testing.assert_array_equal(model(VALUES), loaded(VALUES))
