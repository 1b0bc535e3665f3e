import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.hidden import Hidden


def _layer(position="after", rate=0.0):
    layer = Hidden(2, rate, position, seed=1)
    layer.build((None, 2))
    layer.dense.kernel.assign([[1.0, -1.0], [2.0, 0.0]])
    layer.dense.bias.assign([0.5, 0.25])
    return layer


def test_literal():
    np.testing.assert_array_equal(_layer()(np.array([[1.0, 1.0], [-1.0, 0.0]])), [[3.5, 0], [0, 1.25]])


def test_gradient_is_zero_below_zero():
    layer = _layer()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.array([[1.0, 1.0]])))
    np.testing.assert_array_equal(tape.gradient(loss, layer.dense.kernel.value), [[1, 0], [1, 0]])


def test_dropout_before_drops_inputs():
    outputs = _layer("before", 0.5)(np.ones((200, 2), np.float32), training=True).numpy()
    # Inputs are 0 or 2 each: 0.5 + {0, 2} + {0, 4} and max(0, 0.25 - {0, 2}).
    assert {tuple(row) for row in outputs.tolist()} == {(0.5, 0.25), (2.5, 0), (4.5, 0.25), (6.5, 0)}


def test_dropout_after_drops_outputs():
    outputs = _layer("after", 0.5)(np.array([[0.0, 1.0]] * 200, np.float32), training=True).numpy()
    # Outputs are 2.5 and 0.25, each dropped or doubled.
    assert {tuple(row) for row in outputs.tolist()} == {(0, 0), (5, 0), (0, 0.5), (5, 0.5)}


@pytest.mark.parametrize("position", ["before", "after"])
def test_no_dropout_at_inference(position):
    np.testing.assert_array_equal(_layer(position, 0.9)(np.array([[1.0, 1.0]])), [[3.5, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be positive, got 0"),
        ({"dropout_rate": -0.1}, r"`dropout_rate` must be in \[0, 1\), got -0.1"),
        ({"dropout_position": "around"}, "`dropout_position` must be one of .*, got 'around'"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        Hidden(**{"units": 2, "dropout_rate": 0.1, "dropout_position": "after", **arguments})


def test_save_and_load(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Hidden(3, 0.25, "before", seed=5)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layer = loaded.layers[-1]
    assert (layer.units, layer.dropout_rate, layer.dropout_position, layer.seed) == (3, 0.25, "before", 5)
    batch = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(model(batch), loaded(batch))
