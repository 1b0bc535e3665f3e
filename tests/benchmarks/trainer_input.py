"""Time one epoch of training input: `Batches` against the dataset that TFX's data accessor gives.

    python tests/benchmarks/trainer_input.py [ROWS]

Both read the same transformed examples, shuffle them and cut them into batches. The first epoch of `Batches`
reads the files, the later ones are in memory; the accessor reads at every epoch. Beside them stands the time
of a DeepFM's training steps on batches that are already tensors.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from rich.console import Console
from rich.table import Table
from tfx.components.util import tfxio_utils
from tfx.types import standard_artifacts
from tfx_bsl.public import tfxio

from components.deepfm.config import DeepFMConfig
from components.deepfm.drawing import example_model
from components.trainer.batches import Batches
from components.trainer.config import TrainConfig
from components.transform.config import TransformConfig
from schema import features

BATCH_ROWS = TrainConfig().batch_size
LENGTH = TransformConfig().max_genres
SIZES = {features.UID: 6040, features.MID: 3706}


def write(folder: str, rows: int) -> dict[str, tf.io.FixedLenFeature]:
    """Write transformed examples of MovieLens 1M's shape; return their specification."""
    random = np.random.default_rng(0)
    spec: dict[str, tf.io.FixedLenFeature] = {}
    columns: dict[str, np.ndarray] = {}
    for feature in features.CATEGORICAL:
        shape = (rows, LENGTH) if feature.multivalent else (rows,)
        columns[feature.index_name] = random.integers(1, SIZES.get(feature, 3), shape)
        spec[feature.index_name] = tf.io.FixedLenFeature(shape[1:], tf.int64)
    for name in (features.ZIP.z_score_name, features.LABEL.name):
        columns[name] = random.normal(3, 1, rows).astype(np.float32)
        spec[name] = tf.io.FixedLenFeature([], tf.float32)
    with tf.io.TFRecordWriter(os.path.join(folder, "data.gz"), "GZIP") as writer:
        for row in range(rows):
            example = tf.train.Example()
            for name, column in columns.items():
                values = np.atleast_1d(column[row])
                target = example.features.feature[name]
                (target.float_list if values.dtype == np.float32 else target.int64_list).value.extend(values)
            writer.write(example.SerializeToString())
    return spec


def accessor(folder: str, spec: dict[str, tf.io.FixedLenFeature]) -> tf.data.Dataset:
    """Return an endless dataset as TFX's own templates make it in their `run_fn`."""
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = folder, "[]"
    factory = tfxio_utils.get_tf_dataset_factory_from_artifact([examples], ["benchmark"])
    schema = tft.tf_metadata.schema_utils.schema_from_feature_spec(spec)
    options = tfxio.TensorFlowDatasetOptions(batch_size=BATCH_ROWS, label_key=features.LABEL.name)
    return factory([os.path.join(folder, "data.gz")], options, schema)


def seconds(batches: Iterable[object]) -> float:
    """Return how long it takes to go through the batches."""
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def main(rows: int = 400_000) -> None:
    """Measure, and print milliseconds a batch and the ratio to the accessor."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder, console.status("writing examples"):
        spec = write(folder, rows)
        steps = -(-rows // BATCH_ROWS)
        batches = Batches([f"{folder}/*"], spec, batch_size=BATCH_ROWS, block_rows=4_000_000, seed=0)
        measured = {
            "TFX data accessor, each epoch": seconds(accessor(folder, spec).take(steps)),
            "Batches, first epoch": seconds(batches.dataset()),
            "Batches, later epochs": seconds(batches.dataset()),
        }
        model = example_model(DeepFMConfig(), "deepfm", LENGTH)
        model.compile("adam", "mse")
        held = [(dict(x), y) for x, y in batches.dataset().take(30)]
        held = [({name: x[name] for name in model.input}, y) for x, y in held]
        fed = tf.data.Dataset.from_generator(
            lambda: iter(held), output_signature=tf.nest.map_structure(tf.type_spec_from_value, held[0])
        )
        model.fit(fed, verbose=0)
        start = time.perf_counter()
        model.fit(fed, verbose=0)
        measured["DeepFM, training steps"] = (time.perf_counter() - start) * steps / len(held)
    baseline = measured["TFX data accessor, each epoch"]
    table = Table("", "ms a batch", "ratio", title=f"{rows:,} rows, batches of {BATCH_ROWS:,}")
    for name, taken in measured.items():
        table.add_row(name, f"{1000 * taken / steps:.1f}", f"{taken / baseline:.2f}")
    console.print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
