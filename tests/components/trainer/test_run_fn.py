"""Two epochs on literal rows, the export, and the same answers from a Session."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.batches import Batches
from components.trainer.run_fn import KERAS_MODEL_PATH
from schema import features
from serving.saved_model import SessionModel


def request(rows):
    """Raw tensors of rows for the signature `predict`."""
    tensors = {}
    for feature in features.SERVED:
        values = [row[feature.name] for row in rows]
        if feature is features.GENRES:
            values = [[*genres, *[""] * (2 - len(genres))] for genres in values]
        elif feature is features.ZIP:
            values = [v[0] for v in values]
        dtype = np.int64 if feature.dtype is features.Dtype.INT64 else object
        tensors[feature.name] = np.array(values, dtype)
    return tensors


def test_every_signature_answers_in_a_session_as_the_training_graph_does(trained):
    folder, rows = trained.folder, trained.rows[:50]
    graph = tft.TFTransformOutput(str(folder / "graph"))
    keras_model = keras.models.load_model(folder / "model" / KERAS_MODEL_PATH)
    spec = graph.transformed_feature_spec()
    data = next(tf.data.TFRecordDataset(str(folder / "data.gz"), "GZIP").batch(50).as_numpy_iterator())
    transformed = tf.io.parse_example(data, spec)
    expected = keras_model({name: transformed[name] for name in keras_model.input}, training=False).numpy()
    assert expected.std() > 0
    with SessionModel(str(folder / "model")) as model:
        served = model.run("serving_default", {"examples": trained.examples[:50]})[features.RATING.name]
        np.testing.assert_allclose(served, expected, atol=1e-5)
        served = model.run("predict", request(rows))[features.RATING.name]
        np.testing.assert_allclose(served, expected, atol=1e-5)
        one_user = [
            {**row, **{f.name: rows[0][f.name] for f in (features.UID, *features.USER_FEATURES)}}
            for row in rows
        ]
        expected = model.run("predict", request(one_user))[features.RATING.name]
        tensors = request(one_user)
        for feature in (features.UID, *features.USER_FEATURES):
            tensors[feature.name] = tensors[feature.name][:1]
        ranked = model.run("rank", tensors)
        order = np.argsort(-expected, kind="stable")
        np.testing.assert_allclose(ranked[features.RATING.name], expected[order], atol=1e-5)
        assert set(ranked[features.MID.name]) == {row[features.MID.name] for row in rows}


@pytest.mark.parametrize("block_rows", [1000, 100])
def test_an_epoch_has_every_row_once_in_a_new_order(trained, block_rows):
    folder, rows = trained.folder, trained.rows
    spec = tft.TFTransformOutput(str(folder / "graph")).transformed_feature_spec()
    batches = Batches([str(folder / "data.gz")], spec, batch_size=64, block_rows=block_rows, seed=1)
    epochs = [np.concatenate([label for _, label in batches.dataset().as_numpy_iterator()]) for _ in range(2)]
    ratings = sorted(row[features.RATING.name] for row in rows)
    assert sorted(epochs[0]) == sorted(epochs[1]) == ratings
    assert epochs[0].tolist() != epochs[1].tolist()
    mean, count = batches.mean_label()
    assert count == len(rows)
    assert mean == pytest.approx(np.mean(ratings))
