import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.combination import Combination

PARTS = [np.array([[0.25], [1.0]], np.float32), np.array([[-1.0], [0.5]], np.float32)]


def test_literal():
    np.testing.assert_array_equal(Combination(3.5)(PARTS), [2.75, 5.0])


def test_one_part():
    np.testing.assert_array_equal(Combination(1.0)(PARTS[:1]), [1.25, 2.0])


def test_gradient_of_the_bias_is_the_batch_size():
    layer = Combination(3.5)
    layer.build([(None, 1), (None, 1)])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(PARTS))
    np.testing.assert_array_equal(tape.gradient(loss, layer.w_0.value), 2)


def test_rejects():
    with pytest.raises(ValueError, match=r"`inputs` must be a list of parts of shape \[batch, 1\]"):
        Combination()([np.ones((2, 3))])


def test_save_and_load(tmp_path):
    inputs = [keras.Input((1,)), keras.Input((1,))]
    layer = Combination(3.5)
    model = keras.Model(inputs, layer(inputs))
    layer.w_0.assign(1.0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].bias == 3.5
    np.testing.assert_array_equal(loaded(PARTS), [0.25, 2.5])
