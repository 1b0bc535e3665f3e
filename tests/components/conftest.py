"""What several components' tests need: a model that `run_fn` trained."""

import dataclasses
from pathlib import Path

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
from components.trainer.config import TrainConfig
from components.trainer.run_fn import run_fn
from components.transform.config import TransformConfig
from components.transform.preprocessing import preprocessing_fn
from schema import features

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


def examples(rows):
    """Serialize raw rows as tf.Examples, object[rows]."""
    serialized = []
    for row in rows:
        example = tf.train.Example()
        for name, value in row.items():
            values = value if isinstance(value, list) else [value]
            feature = example.features.feature[name]
            if isinstance(values[0], int):
                feature.int64_list.value.extend(values)
            elif isinstance(values[0], float):
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend(v.encode() for v in values)
        serialized.append(example.SerializeToString())
    return np.array(serialized, object)


@dataclasses.dataclass(frozen=True)
class Trained:
    """Where `graph`, `data.gz` and `model` lie, and the raw rows, as serialized tf.Examples too."""

    folder: Path
    rows: list[dict]
    examples: np.ndarray


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A model of two epochs on literal rows, with the transform graph that it was trained on."""
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
    return Trained(folder, rows, examples(rows))
