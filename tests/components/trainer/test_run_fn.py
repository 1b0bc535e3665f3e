"""Two epochs on literal rows, the export, and the same answers from a Session."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from components.deepfm.config import DeepFMConfig
from components.trainer.batches import Batches
from components.trainer.config import TrainConfig
from components.trainer.run_fn import KERAS_MODEL_PATH, run_fn
from components.transform.config import TransformConfig
from components.transform.preprocessing import preprocessing_fn
from schema import features
from serving.saved_model import SessionModel

ROWS = 300


def raw_rows():
    random = np.random.default_rng(0)
    uid, mid = random.integers(1, 20, ROWS), random.integers(1, 30, ROWS)
    return [
        {
            features.UID.name: int(u),
            features.MID.name: int(m),
            features.GENRES.name: ["Drama", "War"] if m % 2 else ["Comedy"],
            features.GENDER.name: "F" if u % 2 else "M",
            features.AGE.name: 25,
            features.OCCUPATION.name: int(u % 5),
            features.ZIP.name: [f"{u:05d}"],
            features.RATING.name: float(1 + (u + m) % 5),
        }
        for u, m in zip(uid, mid, strict=True)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    schema = text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())
    rows = raw_rows()
    spec = {
        name: s
        for name, s in schema_utils.schema_as_feature_spec(schema).feature_spec.items()
        if name in rows[0]
    }
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(spec)
    custom = {"transform_config": TransformConfig(max_genres=3).to_json()}
    with tft_beam.Context(temp_dir=str(folder / "tmp")):
        (transformed, out_metadata), transform_fn = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda x: preprocessing_fn(x, custom)
        )
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(metadata, str(folder / "graph" / "metadata"))
    coder = tft.coders.ExampleProtoCoder(out_metadata.schema)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for row in transformed:
            writer.write(coder.encode(row))
    args = FnArgs(
        train_files=[str(folder / "data.gz")],
        eval_files=[str(folder / "data.gz")],
        transform_graph_path=str(folder / "graph"),
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "run"),
        custom_config={
            "model_config": DeepFMConfig(embedding_dim=4, hidden_units=(8,)).to_json(),
            "train_config": TrainConfig(batch_size=64, epochs=2).to_json(),
        },
    )
    run_fn(args)
    return folder, rows


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


def examples(rows):
    serialized = []
    for row in rows:
        feature_map = {}
        for feature in features.SERVED:
            value = row[feature.name]
            value = value if isinstance(value, list) else [value]
            if feature.dtype is features.Dtype.INT64:
                feature_map[feature.name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
            else:
                encoded = [v.encode() for v in value]
                feature_map[feature.name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
        serialized.append(
            tf.train.Example(features=tf.train.Features(feature=feature_map)).SerializeToString()
        )
    return np.array(serialized, object)


def test_every_signature_answers_in_a_session_as_the_training_graph_does(trained):
    folder, rows = trained
    rows = rows[:50]
    graph = tft.TFTransformOutput(str(folder / "graph"))
    keras_model = keras.models.load_model(folder / "model" / KERAS_MODEL_PATH)
    spec = graph.transformed_feature_spec()
    data = next(tf.data.TFRecordDataset(str(folder / "data.gz"), "GZIP").batch(50).as_numpy_iterator())
    transformed = tf.io.parse_example(data, spec)
    expected = keras_model({name: transformed[name] for name in keras_model.input}, training=False).numpy()
    assert expected.std() > 0
    with SessionModel(str(folder / "model")) as model:
        served = model.run("serving_default", {"examples": examples(rows)})[features.RATING.name]
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
    folder, rows = trained
    spec = tft.TFTransformOutput(str(folder / "graph")).transformed_feature_spec()
    batches = Batches([str(folder / "data.gz")], spec, batch_size=64, block_rows=block_rows, seed=1)
    epochs = [np.concatenate([label for _, label in batches.dataset().as_numpy_iterator()]) for _ in range(2)]
    ratings = sorted(row[features.RATING.name] for row in rows)
    assert sorted(epochs[0]) == sorted(epochs[1]) == ratings
    assert epochs[0].tolist() != epochs[1].tolist()
    mean, count = batches.mean_label()
    assert count == ROWS
    assert mean == pytest.approx(np.mean(ratings))
