import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.gmf import GeneralizedMatrixFactorization

PAIR = [np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 4.0]], np.float32)]


def test_starts_as_the_inner_product():
    np.testing.assert_array_equal(GeneralizedMatrixFactorization()(PAIR), [[11]])


def test_literal_and_gradient():
    layer = GeneralizedMatrixFactorization()
    layer.build([(None, 2), (None, 2)])
    layer.h.assign([[2.0], [-0.5]])
    with tf.GradientTape() as tape:
        outputs = layer(PAIR)
    np.testing.assert_array_equal(outputs, [[2]])
    np.testing.assert_array_equal(tape.gradient(outputs, layer.h.value), [[3], [8]])


@pytest.mark.parametrize("shapes", [[(None, 2)], [(None, 2), (None, 3)], [(None, 2)] * 3])
def test_rejects(shapes):
    with pytest.raises(ValueError, match="`inputs` must be two embeddings of the same shape"):
        GeneralizedMatrixFactorization().build(shapes)


def test_save_and_load(tmp_path):
    inputs = [keras.Input((2,)), keras.Input((2,))]
    layer = GeneralizedMatrixFactorization()
    model = keras.Model(inputs, layer(inputs))
    layer.h.assign([[2.0], [-0.5]])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(PAIR), [[2]])
