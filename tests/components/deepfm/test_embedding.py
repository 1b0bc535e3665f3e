import keras
import numpy as np
import pytest
import tensorflow as tf

from components.deepfm.embedding import FieldEmbedding

TABLE = np.array([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [5.0, 0.0]], np.float32)


def _embedding(l2=0.0, shape=(None,)):
    layer = FieldEmbedding(4, 2, l2=l2)
    layer.build(shape)
    layer.table.assign(TABLE)
    return layer


def test_scalar():
    np.testing.assert_array_equal(_embedding()(np.array([2, 0, 1])), [[3, 4], [0, 0], [1, 2]])


def test_mean_without_padding():
    indices = np.array([[1, 3, 0], [2, 0, 0], [0, 0, 0], [1, 2, 3], [0, 1, 0]])
    expected = [[3, 1], [3, 4], [0, 0], [3, 2], [1, 2]]
    np.testing.assert_array_equal(_embedding(shape=(None, 3))(indices), expected)


def test_one_value_in_a_list_is_that_value():
    np.testing.assert_array_equal(
        _embedding(shape=(None, 1))(np.array([[3], [0]])), _embedding()(np.array([3, 0]))
    )


def test_penalty():
    layer = _embedding(l2=0.1)
    layer(np.array([1, 2, 0, 2]), training=True)
    # Squared norms 5, 25, 0, 25.
    np.testing.assert_allclose(layer.losses, [0.1 * 55 / 4], rtol=1e-6)
    layer(np.array([1, 2]), training=False)
    assert layer.losses == []


def test_gradient():
    layer = _embedding(shape=(None, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.array([[1, 0], [1, 3]])))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.table.value))
    np.testing.assert_array_equal(gradient, [[0, 0], [1.5, 1.5], [0, 0], [0.5, 0.5]])


def test_seed():
    tables = []
    for seed in (1, 1, 2):
        layer = FieldEmbedding(4, 2, seed=seed)
        layer.build((None,))
        tables.append(layer.table.numpy())
    np.testing.assert_array_equal(tables[0], tables[1])
    assert np.abs(tables[0] - tables[2]).min() > 0
    assert np.abs(tables[0]).max() <= 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "`rows` must be positive, got 0"),
        ({"dim": -1}, "`dim` must be positive, got -1"),
        ({"l2": -1.0}, "`l2` must not be negative, got -1.0"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        FieldEmbedding(**{"rows": 4, "dim": 2, **arguments})


def test_rejects_shape():
    with pytest.raises(ValueError, match=r"`inputs` must be of shape \[batch\] or \[batch, length\]"):
        FieldEmbedding(4, 2).build((None, 3, 3))


def test_save_and_load(tmp_path):
    inputs = keras.Input((3,), dtype="int64")
    model = keras.Model(inputs, FieldEmbedding(4, 2, l2=0.5, seed=3)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layer = loaded.layers[-1]
    assert (layer.rows, layer.dim, layer.l2, layer.seed) == (4, 2, 0.5, 3)
    indices = np.array([[1, 2, 0], [3, 0, 0]])
    np.testing.assert_array_equal(model(indices), loaded(indices))
