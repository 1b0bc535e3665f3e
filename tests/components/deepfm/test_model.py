import keras
import numpy as np
import pytest

from components.deepfm.config import ARCHITECTURES
from components.deepfm.embedding import FieldEmbedding
from components.deepfm.model import build_model, deep_part
from schema import features


def _batch(model, size=64):
    rng = np.random.default_rng(1)
    return {
        name: rng.integers(0, 12, (size, *value.shape[1:]))
        if value.dtype == "int64"
        else rng.normal(size=size).astype(np.float32)
        for name, value in model.input.items()
    }


def _ratings(batch):
    return (1 + batch[features.UID.index_name] % 5).astype(np.float32)


def _train(model):
    batch = _batch(model)
    # A few eager steps take less time than to trace one.
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    for _ in range(5):
        model.train_on_batch(batch, _ratings(batch))


@pytest.fixture
def build(make_config, categorical_fields, numeric_fields):
    def build_(architecture="deepfm", seed=1, **changes):
        config = make_config(architecture, **changes)
        return build_model(config, categorical_fields, numeric_fields, 3.5, seed)

    return build_


def test_inputs_and_output(build):
    model = build()
    assert {name: (value.shape, value.dtype) for name, value in model.input.items()} == {
        **{
            feature.index_name: ((None, 3) if feature.multivalent else (None,), "int64")
            for feature in features.CATEGORICAL
        },
        features.ZIP.z_score_name: ((None,), "float32"),
    }
    assert (model.output.shape, model.output.dtype) == ((None,), "float32")
    assert model.name == "deepfm"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_learns_and_is_saved_and_loaded(architecture, build, tmp_path):
    model = build(architecture)
    batch = _batch(model)
    before = np.sqrt(np.mean((model(batch) - _ratings(batch)) ** 2))
    weights = [weight.numpy() for weight in model.trainable_weights]
    _train(model)
    assert all(np.any(a != b) for a, b in zip(weights, model.trainable_weights, strict=True))
    predictions = model(batch).numpy()
    assert predictions.shape == (64,)
    assert np.sqrt(np.mean((predictions - _ratings(batch)) ** 2)) < before - 0.01
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(batch).numpy(), predictions)


def test_two_sided_is_the_sum_of_its_parts(build):
    model = build("two_sided", clip_rating=False)
    parts = ("user_first_order", "movie_first_order", "second_order", "deep_output", "user_drift")
    model.get_layer("user_drift").slope.assign(0.5)
    model.get_layer("user_drift").since.assign(np.zeros(12))
    model.get_layer("deep_output").kernel.assign(np.ones((4, 1)))
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in parts])
    batch = _batch(model)
    np.testing.assert_allclose(
        model(batch), 3.5 + np.concatenate(outputs(batch), axis=1).sum(axis=1), atol=1e-5
    )
    user, movie = (
        keras.Model(model.input, model.get_layer(name).output)(batch).numpy() for name in ("user", "movie")
    )
    assert user.shape == (64, 4)
    np.testing.assert_allclose(np.ravel(outputs(batch)[2]), np.sum(user * movie, axis=1), atol=1e-6)


def test_the_deep_part_of_two_sided_by_itself(build):
    model = build("two_sided")
    batch = _batch(model)
    seen = keras.Model(model.input, model.get_layer("sides").output)(batch)
    said = keras.Model(model.input, model.get_layer("deep_output").output)
    assert seen.shape == (64, 2 * 4 + 3)
    np.testing.assert_array_equal(said(batch), np.zeros((64, 1)))  # before its training
    model.get_layer("deep_output").kernel.assign(np.ones((4, 1)))
    assert np.ptp(said(batch)) > 0.01
    np.testing.assert_array_equal(deep_part(model)(seen), said(batch))


def test_the_deep_part_of_two_sided_sees_the_first_chain(build):
    model = build("two_sided", chains=2)
    sides = keras.Model(model.input, [model.get_layer(name).output for name in ("user", "movie", "sides")])
    user, movie, seen = (values.numpy() for values in sides(_batch(model)))
    assert user.shape == movie.shape == (64, 4)
    assert seen.shape == (64, 2 * 2 + 3)
    np.testing.assert_array_equal(seen[:, :4], np.concatenate([user[:, :2], movie[:, :2]], axis=1))
    np.testing.assert_allclose(seen[:, 6], np.sum(user * movie, axis=1), atol=1e-6)  # of both chains


def test_is_the_sum_of_its_parts(build):
    model = build(clip_rating=False)
    parts = ("first_order", "second_order", "deep_output")
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in parts])
    batch = _batch(model)
    expected = 3.5 + sum(np.asarray(part)[:, 0] for part in outputs(batch))
    np.testing.assert_allclose(model(batch), expected, rtol=1e-6)


def test_second_order_and_deep_part_share_embeddings(build):
    model = build()
    tables = [layer.table.shape for layer in model.layers if isinstance(layer, FieldEmbedding)]
    assert tables == [(12, 4)] * len(features.CATEGORICAL)
    used_by = {
        node.operation.name for node in model.get_layer(f"{features.UID.name}_embedding")._outbound_nodes
    }
    assert used_by == {"second_order", "concatenation"}


def test_halves_of_neumf_have_their_own_embeddings(build):
    names = [layer.name for layer in build("neumf").layers if isinstance(layer, FieldEmbedding)]
    assert sorted(names) == sorted(
        f"{half}_{feature.name}_embedding"
        for half in ("gmf", "mlp")
        for feature in (features.UID, features.MID)
    )


@pytest.mark.parametrize("architecture", ["first_order", "second_order", "deep"])
def test_missing_everything_is_near_the_mean(architecture, build):
    model = build(architecture)
    batch = {name: np.zeros_like(value) for name, value in _batch(model).items()}
    np.testing.assert_array_equal(model(batch), np.full(64, 3.5))


def test_unknown_ids_are_trained_by_oov_dropout(build):
    uid = features.UID
    tables = {}
    for rate in (0.0, 0.3):
        model = build(oov_dropout_rate=rate, embedding_l2=0.0)
        batch = _batch(model)
        batch[uid.index_name] %= 11  # none is the OOV index
        before = model.get_layer(f"{uid.name}_embedding").table.numpy()
        model.compile("sgd", "mse", run_eagerly=True)
        model.train_on_batch(batch, _ratings(batch))
        tables[rate] = np.abs(model.get_layer(f"{uid.name}_embedding").table.numpy() - before)
    assert tables[0.0][11].max() == 0
    assert tables[0.3][11].min() > 0


def test_seed(build):
    predictions = []
    for seed in (1, 1, 2):
        model = build(seed=seed)
        _train(model)
        predictions.append(model(_batch(model)).numpy())
    np.testing.assert_array_equal(predictions[0], predictions[1])
    assert np.abs(predictions[0] - predictions[2]).max() > 1e-4


def test_building_leaves_the_global_random_state_alone(build):
    keras.utils.set_random_seed(3)
    expected = np.random.random()
    keras.utils.set_random_seed(3)
    build()
    assert np.random.random() == expected


def test_clip(build):
    for clip, expected in ((True, 5.0), (False, 9.0)):
        model = build("first_order", clip_rating=clip)
        model.get_layer("combination").w_0.assign(9.0)
        batch = {name: np.zeros_like(value) for name, value in _batch(model).items()}
        np.testing.assert_array_equal(model(batch), np.full(64, expected))


def test_penalty_is_in_the_training_loss_only(build):
    model = build(embedding_l2=1.0)
    batch = _batch(model)
    model(batch, training=True)
    # One of each field's embedding, and one of each field's weight.
    assert len(model.losses) == 2 * (len(features.CATEGORICAL) + 1)
    model(batch, training=False)
    assert model.losses == []


def test_rejects_a_field_that_is_not_there(make_config, categorical_fields, numeric_fields):
    with pytest.raises(ValueError, match=f"`categorical_fields` lacks '{features.UID.name}'"):
        build_model(make_config("deep"), categorical_fields[1:], numeric_fields, 3.5, 1)
    with pytest.raises(ValueError, match=f"`numeric_fields` lacks '{features.ZIP.name}'"):
        build_model(make_config("deep"), categorical_fields, [], 3.5, 1)
