import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.first_order import FirstOrder

BATCH = {
    "colour": np.array([1, 2, 0]),
    "tags": np.array([[1, 2], [2, 0], [0, 0]]),
    "price": np.array([0.5, -1.0, 0.0], np.float32),
}
SHAPES = {"colour": (None,), "tags": (None, 2), "price": (None,)}


def _layer(l2=0.0):
    layer = FirstOrder({"colour": 3, "tags": 3}, ["price"], l2=l2, seed=1)
    layer.build(SHAPES)
    layer.terms["colour"].table.assign([[9.0], [1.0], [2.0]])
    layer.terms["tags"].table.assign([[9.0], [10.0], [20.0]])
    layer.terms["price"].vector.assign([100.0])
    return layer


def test_literal():
    # 1 + (10 + 20) / 2 + 50; 2 + 20 - 100; nothing.
    np.testing.assert_array_equal(_layer()(BATCH), [[66], [-78], [0]])


def test_gradient_is_the_input():
    layer = _layer()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(BATCH))
    colour, tags, price = tape.gradient(
        loss,
        [
            layer.terms["colour"].table.value,
            layer.terms["tags"].table.value,
            layer.terms["price"].vector.value,
        ],
    )
    np.testing.assert_array_equal(tf.convert_to_tensor(colour), [[0], [1], [1]])
    np.testing.assert_array_equal(tf.convert_to_tensor(tags), [[0], [0.5], [1.5]])
    np.testing.assert_array_equal(price, [-0.5])


def test_penalty():
    layer = _layer(l2=0.1)
    layer(BATCH, training=True)
    expected = [0.1 * (1 + 4) / 3, 0.1 * (15**2 + 20**2) / 3, 0.1 * (50**2 + 100**2) / 3]
    np.testing.assert_allclose(layer.losses, expected, rtol=1e-6)


def test_rejects():
    with pytest.raises(ValueError, match="`rows` and `numeric` must name at least one field"):
        FirstOrder({})
    with pytest.raises(ValueError, match=r"`inputs` must be those of \['colour'\], got \['price'\]"):
        FirstOrder({"colour": 3}).build({"price": (None,)})


def test_save_and_load(tmp_path):
    inputs = {
        name: keras.Input(shape[1:], dtype="float32" if name == "price" else "int64", name=name)
        for name, shape in SHAPES.items()
    }
    model = keras.Model(inputs, FirstOrder({"colour": 3, "tags": 3}, ["price"], l2=0.5, seed=2)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layer = loaded.layers[-1]
    assert (layer.rows, layer.numeric, layer.l2, layer.seed) == (
        {"colour": 3, "tags": 3},
        ["price"],
        0.5,
        2,
    )
    np.testing.assert_array_equal(model(BATCH), loaded(BATCH))
