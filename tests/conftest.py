"""What holds for every test, and what several folders need: a trained model, a store, an evaluation."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import fsspec
import keras
import numpy as np
import pytest
import s3fs
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import StandardOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from components.deepfm.config import DeepFMConfig
from components.evaluator.eval_config import eval_config
from components.served_model.properties import BASELINE_VERSION
from components.trainer.config import TrainConfig
from components.trainer.executor import COLD_REASON
from components.trainer.export import export
from components.trainer.run_fn import run_fn
from components.transform.config import TransformConfig
from components.transform.preprocessing import preprocessing_fn
from schema import features
from serving.launch import free_port

# As in a run: the default would look for the Prism runner first, on the network.
StandardOptions.DEFAULT_RUNNER = "FnApiRunner"

TRAIN_ROWS, VALID_ROWS = 240, 60
MAX_GENRES = 3
FIRST_TIMESTAMP = 956703932  # 2000-04-25 23:05:32 UTC


def raw_rows():
    """Rows of every kind: one to four genres, zips that are numbers and not, or absent.

    Those that are not trained on hold users, movies and genres that the others lack.
    """
    random = np.random.default_rng(0)
    genres = (["Comedy"], ["Drama", "War"], ["Action", "Crime", "Drama", "War"])
    zips = ([f"{10007}"], ["02139-2117"], ["V6B 1A1"], [])
    rows = []
    for number in range(TRAIN_ROWS + VALID_ROWS):
        new = number >= TRAIN_ROWS and number % 3 == 0
        u, m = (int(random.integers(1, high)) + 1000 * new for high in (20, 30))
        rows.append(
            {
                features.UID.name: u,
                features.MID.name: m,
                features.GENRES.name: ["Western", "Drama"] if new else genres[m % 3],
                features.GENDER.name: "F" if u % 2 else "M",
                features.AGE.name: (1, 25, 56)[u % 3],
                features.OCCUPATION.name: u % 5,
                features.ZIP.name: zips[u % 4],
                features.TIMESTAMP.name: FIRST_TIMESTAMP + 3600 * number,
                features.RATING.name: float(1 + (u + m) % 5),
            }
        )
    return rows


def examples(rows):
    """Serialize raw rows as tf.Examples, object[rows]."""
    serialized = []
    for row in rows:
        example = tf.train.Example()
        for name, value in row.items():
            values = value if isinstance(value, list) else [value]
            feature = example.features.feature[name]
            if isinstance(value, int):
                feature.int64_list.value.extend(values)
            elif isinstance(value, float):
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend(v.encode() for v in values)
        serialized.append(example.SerializeToString())
    return np.array(serialized, object)


def request(rows):
    """Raw tensors of rows for the signature `predict`."""
    tensors = {}
    for feature in features.SERVED:
        values = [row[feature.name] for row in rows]
        if feature is features.GENRES:
            values = [[*genres, *[""] * (4 - len(genres))] for genres in values]
        elif feature is features.ZIP:
            values = ["".join(zips) for zips in values]
        dtype = np.int64 if feature.dtype is features.Dtype.INT64 else object
        tensors[feature.name] = np.array(values, dtype)
    return tensors


@dataclasses.dataclass(frozen=True)
class Transformed:
    """Rows as they came and as Transform makes them; `graph`, `train.gz` and `valid.gz` lie in the folder."""

    folder: Path
    rows: list[dict]  # raw; the first TRAIN_ROWS are for training
    examples: np.ndarray  # the same, serialized, object[rows]
    transformed: list[dict]  # by Beam, as in training


def transform(folder, analyzed):
    """Analyze the first rows with TensorFlow Transform on Beam, and transform all."""
    schema = text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())
    rows = raw_rows()
    spec = {
        name: s
        for name, s in schema_utils.schema_as_feature_spec(schema).feature_spec.items()
        if name in rows[0]
    }
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(spec)
    custom = {"transform_config": TransformConfig(max_genres=MAX_GENRES).to_json()}
    with tft_beam.Context(temp_dir=str(folder / "tmp")):
        transform_fn = (rows[:analyzed], metadata) | tft_beam.AnalyzeDataset(
            lambda x: preprocessing_fn(x, custom)
        )
        transformed, out_metadata = ((rows, metadata), transform_fn) | tft_beam.TransformDataset()
        _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(metadata, str(folder / "graph" / "metadata"))
    coder = tft.coders.ExampleProtoCoder(out_metadata.schema)
    for split, part in (("train", transformed[:TRAIN_ROWS]), ("valid", transformed[TRAIN_ROWS:])):
        with tf.io.TFRecordWriter(str(folder / f"{split}.gz"), "GZIP") as writer:
            for row in part:
                writer.write(coder.encode(row))
    return Transformed(folder, rows, examples(rows), transformed)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Rows, of which those for training were analyzed."""
    return transform(tmp_path_factory.mktemp("transformed"), TRAIN_ROWS)


def fn_args(data, folder, model_config, train_config, base=None, base_version=7):
    """Return what TFX's Trainer gives a training that writes `model` and `run` into a folder."""
    return FnArgs(
        train_files=[str(data.folder / "train.gz")],
        eval_files=[str(data.folder / "valid.gz")],
        transform_graph_path=str(data.folder / "graph"),
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "run"),
        base_model=None if base is None else str(base / "model"),
        custom_config={
            BASELINE_VERSION: base_version,
            COLD_REASON: "" if base else "no model was served before this one",
            "model_config": model_config.to_json(),
            "train_config": train_config.to_json(),
        },
    )


@pytest.fixture(scope="session")
def train(data, tmp_path_factory):
    """Train as TFX's Trainer does, with another such folder as a base; return that of `model` and `run`."""

    def run(model_config=None, *, base=None, base_version=7, **train_config):
        folder = tmp_path_factory.mktemp("trained")
        model_config = model_config or DeepFMConfig(embedding_dim=4, hidden_units=(8,))
        config = TrainConfig(**{"batch_size": 64, "epochs": 2, **train_config})
        run_fn(fn_args(data, folder, model_config, config, base, base_version))
        return folder

    return run


@pytest.fixture(scope="session")
def trained(train):
    """A folder with the `model` and the `run` of two epochs."""
    return train()


@pytest.fixture(scope="session")
def timed(data, tmp_path_factory):
    """A folder with the export of a model that reads the moment of the question, and no weights.

    rating = hours since the first row + index of the movie/64; a missing timestamp counts as 1,000 hours.
    """
    timestamp, mid = (
        keras.Input((), dtype="int64", name=name)
        for name in (features.TIMESTAMP.name, features.MID.index_name)
    )
    hours = keras.ops.where(
        keras.ops.equal(timestamp, features.MISSING_INT), 1000, (timestamp - FIRST_TIMESTAMP) // 3600
    )
    rating = keras.ops.cast(hours, "float32") + keras.ops.cast(mid, "float32") / 64
    model = keras.Model({timestamp.name: timestamp, mid.name: mid}, rating)
    folder = tmp_path_factory.mktemp("timed")
    export(model, tft.TFTransformOutput(str(data.folder / "graph")), str(folder))
    return folder


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The address of an empty bucket of a server in a process of its own."""
    port = free_port(0)
    log = tmp_path / "s3.log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--port", str(port)], stdout=file, stderr=file
        ) as process,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "deepfm")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        while b"Running on" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
        # A client that was made before knows another address.
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("ratings")
        yield "s3://ratings"
        process.terminate()


@pytest.fixture(scope="session")
def comparing_eval_config():
    """Return the Evaluator's configuration for rows with the predictions of `candidate` and `baseline`."""

    def config_of(config):
        comparing = eval_config(config, of_days=False)
        del comparing.model_specs[:]
        for name in ("candidate", "baseline"):
            comparing.model_specs.add(
                name=name,
                prediction_key=name,
                label_key=features.LABEL.name,
                is_baseline=name == "baseline",
            )
        return comparing

    return config_of
