"""Epochs on literal rows, what they leave behind, and the same answers from a Session."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.deepfm.config import PAIRWISE_ARCHITECTURES, DeepFMConfig
from components.errors import RunStoppedError
from components.trainer.batches import Batches
from components.trainer.history import read_history
from components.trainer.model_files import KERAS_MODEL_PATH
from components.trainer.run_fn import absolute_errors
from components.trainer.start import Entries, Start
from components.trainer.warm_start import WARM_START_FILE
from schema import features
from serving.saved_model import SessionModel
from tests.conftest import request

VALID = slice(240, 300)


def keras_predictions(folder, data, rows):
    """What the Keras model in a folder says of transformed rows."""
    model = keras.models.load_model(folder / "model" / KERAS_MODEL_PATH)
    inputs = {name: np.array([row[name] for row in data.transformed[rows]]) for name in model.input}
    return model(inputs, training=False).numpy()


def ratings(data, rows):
    return np.array([row[features.RATING.name] for row in data.rows[rows]])


@pytest.mark.parametrize("architecture", ["first_order", "second_order", "deep", "neumf"])
def test_each_architecture_trains_and_every_signature_answers_in_a_session(architecture, data, train):
    fields = (
        {"categorical": (features.UID.name, features.MID.name), "numeric": ()}
        if architecture in PAIRWISE_ARCHITECTURES
        else {}
    )
    config = DeepFMConfig(architecture=architecture, embedding_dim=4, hidden_units=(8,), **fields)
    _check_signatures(train(config), data)


def test_every_signature_answers_in_a_session_as_the_keras_model_does(data, trained):
    _check_signatures(trained, data)


def _check_signatures(folder, data):
    rows = data.rows[VALID]  # with unknown users, movies and genres
    expected = keras_predictions(folder, data, VALID)
    assert expected.std() > 0
    with SessionModel(str(folder / "model")) as model:
        served = model.run("serving_default", {"examples": data.examples[VALID]})[features.RATING.name]
        np.testing.assert_allclose(served, expected, atol=1e-5)
        served = model.run("predict", request(rows))[features.RATING.name]
        np.testing.assert_allclose(served, expected, atol=1e-5)
        once = (features.UID, *features.USER_FEATURES, features.TIMESTAMP)
        one_user = [{**row, **{f.name: rows[0][f.name] for f in once}} for row in rows]
        expected = model.run("predict", request(one_user))[features.RATING.name]
        tensors = request(one_user)
        for feature in once:
            tensors[feature.name] = tensors[feature.name][:1]
        ranked = model.run("rank", tensors)
        order = np.argsort(-expected, kind="stable")
        np.testing.assert_allclose(ranked[features.RATING.name], expected[order], atol=1e-5)
        assert sorted(ranked[features.MID.name]) == sorted(row[features.MID.name] for row in rows)


def test_the_weights_of_the_best_epoch_are_exported_and_its_metrics_told(data, train):
    # Validation batches of 16, 16, 16 and 12 rows: each row counts once all the same.
    folder = train(batch_size=4, epochs=12, patience=3, learning_rate=0.01, averaging_epochs=0.0)
    history = read_history(str(folder / "run"))
    best = history.kept
    assert best.number < history.steps[-1].number == best.number + 3 < 12
    errors = keras_predictions(folder, data, VALID) - ratings(data, VALID)
    assert best.validation_rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
    assert best.validation_mae == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)


def test_averaged_weights_are_validated_and_exported(data, trained):
    errors = keras_predictions(trained, data, VALID) - ratings(data, VALID)
    best = read_history(str(trained / "run")).kept
    assert best.validation_rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_another(data, train, trained):
    first, again, other = (
        keras_predictions(folder, data, VALID) for folder in (trained, train(seed=0), train(seed=1))
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_without_a_base_model_the_start_is_cold(trained):
    assert Start.read(str(trained / "run")) == Start(
        version=None, reason="no model was served before this one"
    )


def test_a_warm_start_predicts_at_first_what_the_base_model_does(data, train, trained):
    # Steps too small to change anything: what is exported is what the training began with.
    folder = train(
        base=trained, warm_epochs=1, warm_share=1.0, learning_rate=1e-12, averaging_epochs=0.0, seed=1
    )
    np.testing.assert_allclose(
        keras_predictions(folder, data, VALID), keras_predictions(trained, data, VALID), atol=1e-5
    )
    start = Start.read(str(folder / "run"))
    assert start.version == 7
    assert start.entries[features.UID.name] == Entries(kept=19, new=0, gone=0)
    assert start.entries.keys() == {feature.name for feature in features.CATEGORICAL}
    assert start.text == (
        "warm start from version 7; 19 users kept, 0 new, 0 gone; 29 movies kept, 0 new, 0 gone"
    )


def test_a_warm_start_has_its_own_number_of_epochs_and_begins_better(train, trained):
    folder = train(base=trained, warm_epochs=3, epochs=1, patience=3)
    epochs = read_history(str(folder / "run")).steps
    assert len(epochs) == 3
    assert epochs[0].train_rmse < read_history(str(trained / "run")).steps[0].train_rmse


def test_a_chain_of_warm_starts_carries_on(data, train, trained):
    settings = {"warm_epochs": 1, "warm_share": 1.0, "learning_rate": 1e-12, "averaging_epochs": 0.0}
    second = train(base=train(base=trained, **settings), base_version=8, **settings)
    assert Start.read(str(second / "run")).version == 8
    np.testing.assert_allclose(
        keras_predictions(second, data, VALID), keras_predictions(trained, data, VALID), atol=1e-5
    )


def test_asked_for_a_cold_start_is_one_though_there_is_a_base_model(data, train, trained):
    folder = train(base=trained, cold=True)
    assert Start.read(str(folder / "run")) == Start(version=None, reason="asked for")
    np.testing.assert_array_equal(
        keras_predictions(folder, data, VALID), keras_predictions(trained, data, VALID)
    )


def test_a_base_model_of_another_architecture_is_a_cold_start_with_the_reason(train, trained):
    folder = train(DeepFMConfig(embedding_dim=4, hidden_units=(16,)), base=trained)
    assert Start.read(str(folder / "run")).text == (
        "cold start: version 7 does not fit: `hidden_units` was [8], is [16]"
    )


def test_a_damaged_base_model_stops_the_run(train, tmp_path):
    path = tmp_path / "model" / WARM_START_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK")
    with pytest.raises(RunStoppedError, match=r"warm_start\.npz, .* is damaged: "):
        train(base=tmp_path)


def test_tensorboard_gets_the_figures_of_each_epoch(trained):
    figures = {}
    for file in (trained / "run" / "validation").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                figures.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    epochs = read_history(str(trained / "run")).steps
    assert figures["epoch_rmse"] == pytest.approx([epoch.validation_rmse for epoch in epochs])
    assert figures["epoch_mae"] == pytest.approx([epoch.validation_mae for epoch in epochs])


def test_the_absolute_error_counts_every_row_once():
    metric = keras.metrics.MeanMetricWrapper(absolute_errors)
    metric.update_state(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0]))
    metric.update_state(np.array([5.0]), np.array([1.0]))
    assert float(metric.result()) == (1 + 0 + 2 + 4) / 4


@pytest.mark.parametrize("block_rows", [1000, 100])
def test_an_epoch_has_every_row_once_in_a_new_order(data, block_rows):
    spec = tft.TFTransformOutput(str(data.folder / "graph")).transformed_feature_spec()
    batches = Batches([str(data.folder / "train.gz")], spec, batch_size=64, block_rows=block_rows, seed=1)
    epochs = [np.concatenate([label for _, label in batches.dataset().as_numpy_iterator()]) for _ in range(2)]
    expected = sorted(ratings(data, slice(240)))
    assert sorted(epochs[0]) == sorted(epochs[1]) == expected
    assert epochs[0].tolist() != epochs[1].tolist()
    mean, count = batches.mean_label()
    assert count == 240
    assert mean == pytest.approx(np.mean(expected))
