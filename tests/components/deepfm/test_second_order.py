import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.second_order import SecondOrder


def test_literal():
    inputs = [np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([[-1.0, 0.5]])]
    # <1, 2> = 11, <1, 3> = 0, <2, 3> = -1.
    np.testing.assert_allclose(SecondOrder()(inputs), [[10]])


@pytest.mark.parametrize("fields", [2, 3, 7])
def test_is_the_sum_over_all_pairs(fields):
    inputs = list(np.random.default_rng(fields).normal(size=(fields, 32, 16)).astype(np.float32))
    pairs = sum(np.sum(a * b, axis=1, keepdims=True) for a, b in itertools.combinations(inputs, 2))
    np.testing.assert_allclose(SecondOrder()(inputs), pairs, rtol=1e-4, atol=1e-4)


def test_gradient_is_the_sum_of_the_others():
    inputs = [tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0]]), tf.constant([[-1.0, 0.5]])]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = SecondOrder()(inputs)
    np.testing.assert_allclose(
        tf.concat(tape.gradient(outputs, inputs), 0), [[2.0, 4.5], [0.0, 2.5], [4.0, 6.0]]
    )


def test_rejects():
    with pytest.raises(ValueError, match="at least two embeddings"):
        SecondOrder()([np.ones((1, 2))])
    with pytest.raises(ValueError, match="all be of the same shape"):
        SecondOrder()([np.ones((1, 2)), np.ones((1, 3))])


def test_save_and_load(tmp_path):
    inputs = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, SecondOrder()(inputs))
    model.save(tmp_path / "model.keras")
    batch = [np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)]
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(batch), [[6], [6]])
