"""Every architecture as a whole: shapes, identities, save and load, determinism."""

import itertools

import keras
import numpy as np
import pytest

from components.deepfm.config import ARCHITECTURES, PAIRWISE_ARCHITECTURES, DeepFMConfig
from components.deepfm.embedding import FieldEmbedding
from components.deepfm.fields import CategoricalField, NumericField
from components.deepfm.model import build_model
from components.deepfm.oov_dropout import OovDropout
from components.deepfm.rating_range import RatingRange
from components.deepfm.second_order import SecondOrder
from schema import features

FIELDS = [
    CategoricalField(
        name=feature.name,
        index_name=feature.index_name,
        vocabulary_size=7,
        length=3 if feature.multivalent else 1,
    )
    for feature in features.CATEGORICAL
]
NUMBERS = [NumericField(name=features.ZIP.name, input_name=features.ZIP.z_score_name)]


def config_of(architecture, **changes):
    if architecture in PAIRWISE_ARCHITECTURES:
        changes |= {"categorical": (features.UID.name, features.MID.name), "numeric": ()}
    return DeepFMConfig(architecture=architecture, embedding_dim=4, hidden_units=(8, 4), **changes)


def batch(model, rows=5):
    random = np.random.default_rng(0)
    return {
        name: random.integers(0, 9, (rows, *tensor.shape[1:]))
        if tensor.dtype == "int64"
        else random.normal(size=rows).astype(np.float32)
        for name, tensor in model.input.items()
    }


def test_second_order_equals_the_brute_force_sum_over_pairs():
    vectors = np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32)
    pairs = itertools.combinations(range(6), 2)
    expected = sum(np.sum(vectors[i] * vectors[j], axis=-1, keepdims=True) for i, j in pairs)
    np.testing.assert_allclose(SecondOrder()(list(vectors)), expected, rtol=1e-5)


def test_second_order_literal():
    inputs = [np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([[5.0, 6.0]])]
    assert float(SecondOrder()(inputs)[0, 0]) == 11 + 17 + 39


def test_the_embedding_of_a_list_is_its_masked_mean():
    layer = FieldEmbedding(4, 2)
    layer(np.zeros((1, 3), np.int64))
    layer.set_weights([np.array([[9, 9], [1, 2], [3, 4], [5, 6]], np.float32)])
    indices = np.array([[1, 2, 0], [3, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(layer(indices), [[2, 3], [5, 6], [0, 0]])
    np.testing.assert_allclose(layer(np.array([0, 3])), [[0, 0], [5, 6]])


def test_oov_dropout_replaces_the_configured_share_and_never_padding():
    layer = OovDropout(7, 2, 0.25, seed=1)
    indices = np.repeat(np.array([0, 3]), 20_000)
    np.testing.assert_array_equal(layer(indices, training=False), indices)
    replaced = keras.ops.convert_to_numpy(layer(indices, training=True))
    assert set(replaced[indices == 0]) == {0}
    values, counts = np.unique(replaced[indices == 3], return_counts=True)
    assert values.tolist() == [3, 8, 9]
    np.testing.assert_allclose(counts / 20_000, [0.75, 0.125, 0.125], atol=0.01)


def test_ratings_are_clipped_at_inference_only():
    layer = RatingRange(1.0, 5.0)
    values = np.array([0.0, 3.0, 7.0])
    np.testing.assert_array_equal(layer(values, training=False), [1, 3, 5])
    np.testing.assert_array_equal(layer(values, training=True), values)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architecture_saves_loads_and_repeats_by_seed(architecture, tmp_path):
    config = config_of(architecture)
    model = build_model(config, FIELDS, NUMBERS, rating_mean=3.5, seed=3)
    inputs = batch(model)
    predictions = model.predict(inputs, verbose=0)
    assert predictions.shape == (5,)
    assert np.all((predictions > 1) & (predictions < 5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), predictions)
    again = build_model(config, FIELDS, NUMBERS, rating_mean=3.5, seed=3)
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), predictions)
    assert DeepFMConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_training_steps_move_every_weight(architecture):
    config = config_of(architecture, dropout_rate=0.0, oov_dropout_rate=0.0)
    model = build_model(config, FIELDS, NUMBERS, rating_mean=3.5, seed=3)
    inputs = batch(model, rows=200)
    before = model.get_weights()
    model.compile("adam", "mse")
    losses = [model.train_on_batch(inputs, np.full(200, 5.0)) for _ in range(2)]
    assert losses[1] < losses[0]
    moved = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)


def test_config_names_the_field_and_the_value():
    with pytest.raises(ValueError, match="`embedding_dim` must be positive, got -1"):
        DeepFMConfig(embedding_dim=-1)
    with pytest.raises(ValueError, match="`text` names unknown fields: depth"):
        DeepFMConfig.from_json('{"depth": 3}')
