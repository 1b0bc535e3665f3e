"""Compare warm with cold training on the very artifacts of past runs.

    python tests/benchmarks/warm_start.py RUNS/DATASET [PRESET]

RUNS/DATASET is what `deepfm retrain` left of some days, by the same preset. Each run whose training began
with the served model trains here twice more, each time in a process of its own: from nothing, and from what
was then served, on the same examples and the same transform graph. Both models are asked for the ratings of
the run's test split, which for a day is what came in on it. Steps are epochs, or sweeps of the burn-in.
Seconds are of processor time, so that what else the machine does counts little; `fit` is the loop over the
batches, or the chain, alone, without the reading, the order of `rank` and the export.
"""

import argparse
import dataclasses
import importlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}  # the latter as in a run

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from rich.table import Table
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.gibbs.config import GibbsConfig
from components.ratings_example_gen.split import SPLITS, TEST, TRAIN, VALID
from components.served_model.properties import BASELINE_VERSION
from components.served_model.usable import why_not
from components.trainer.executor import COLD_REASON
from components.trainer.history import read_history
from components.trainer.start import Start
from pipeline.config import PRESETS, Preset
from schema import features
from serving.quiet_imports import quiet_imports
from serving.saved_model import SessionModel

ASK_ROWS = 2000


@dataclasses.dataclass(frozen=True)
class Trained:
    """One training."""

    seconds: float  # of processor time
    fit_seconds: float
    steps: int  # epochs, or sweeps of the burn-in
    test_rmse: float


def past_runs(store: MetadataStore) -> Iterator[dict[str, Any]]:
    """Yield the artifacts that the nodes of each run read, by node and key, as in `Trainer.examples`."""
    kinds = {kind.id: kind for kind in store.get_artifact_types()}
    nodes = {kind.id: kind.name.rpartition(".")[2] for kind in store.get_execution_types()}
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id):
        executions = {e.id: nodes[e.type_id] for e in store.get_executions_by_context(run.id)}
        read = [e for e in store.get_events_by_execution_ids(executions) if e.type == e.INPUT]
        found = {a.id: a for a in store.get_artifacts_by_id([e.artifact_id for e in read])}
        yield {
            f"{executions[e.execution_id]}.{e.path.steps[0].key}": artifact_utils.deserialize_artifact(
                kinds[found[e.artifact_id].type_id], found[e.artifact_id]
            )
            for e in read
        }


def arguments(run: dict[str, Any], preset: Preset, base_model: str | None, folder: str) -> FnArgs:
    """Return what TFX's Trainer gives a training on the artifacts of a run; it writes into a folder."""
    examples = run["Trainer.examples"]
    return FnArgs(
        train_files=[os.path.join(artifact_utils.get_split_uri([examples], SPLITS[TRAIN]), "*")],
        eval_files=[os.path.join(artifact_utils.get_split_uri([examples], SPLITS[VALID]), "*")],
        transform_graph_path=run["Trainer.transform_graph"].uri,
        serving_model_dir=os.path.join(folder, "model"),
        model_run_dir=os.path.join(folder, "log"),
        base_model=base_model,
        custom_config={
            BASELINE_VERSION: run["Trainer.base_model"].get_int_custom_property(BASELINE_VERSION),
            COLD_REASON: "",
            "model_config": preset.model.to_json(),
            "train_config": dataclasses.replace(preset.train, cold=base_model is None).to_json(),
        },
    )


def measure(preset: Preset, fn_args: FnArgs, test: tuple[list[bytes], np.ndarray]) -> Trained:
    """Train, and ask the model.

    Raises:
      ValueError: the served model, or the transform graph, is not of the preset.
    """
    training = importlib.import_module(preset.train.RUN_FN)
    fits = training if isinstance(preset.train, GibbsConfig) else keras.Model
    fit, fit_seconds = fits.fit, 0.0

    def timed(*args: Any, **kwargs: Any) -> Any:
        nonlocal fit_seconds
        start = time.process_time()
        found = fit(*args, **kwargs)
        fit_seconds = time.process_time() - start
        return found

    start = time.process_time()
    with mock.patch.object(fits, "fit", timed):
        training.run_fn(fn_args)
    seconds = time.process_time() - start
    began = Start.read(fn_args.model_run_dir)
    if fn_args.base_model and began.version is None:
        raise ValueError(began.reason)
    serialized, ratings = test
    with SessionModel(fn_args.serving_model_dir) as session:
        predicted = np.concatenate(
            [
                session.run("serving_default", {"examples": np.array(serialized[i : i + ASK_ROWS], object)})[
                    features.RATING.name
                ]
                for i in range(0, len(serialized), ASK_ROWS)
            ]
        )
    error = float(np.sqrt(np.mean((predicted.ravel() - ratings) ** 2)))
    return Trained(seconds, fit_seconds, len(read_history(fn_args.model_run_dir).steps), error)


def trained(
    run: dict[str, Any], preset: Preset, base_model: str | None, test: tuple[list[bytes], np.ndarray]
) -> Trained:
    """Train on the artifacts of a run, in a process that does nothing else."""
    alone = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        fn_args = arguments(run, preset, base_model, folder)
        with quiet_imports(), ProcessPoolExecutor(1, alone) as pool:
            training = pool.submit(measure, preset, fn_args, test)
        return training.result()


def test_rows(run: dict[str, Any]) -> tuple[list[bytes], np.ndarray]:
    """Return the serialized examples of the test split, and their ratings."""
    folder = artifact_utils.get_split_uri([run["Evaluator.examples"]], SPLITS[TEST])
    files = tf.io.gfile.glob(os.path.join(folder, "*"))
    serialized = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    spec = {features.RATING.name: tf.io.FixedLenFeature([], tf.float32)}
    return serialized, tf.io.parse_example(serialized, spec)[features.RATING.name].numpy()


def main() -> None:
    """Train for each run, and print a table."""
    logging.set_verbosity(logging.ERROR)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, help="what `deepfm retrain` left of a dataset")
    parser.add_argument("preset", nargs="?", choices=PRESETS, default="default")
    told = parser.parse_args()
    preset = PRESETS[told.preset]
    metadata = told.runs / "metadata.sqlite"
    if not metadata.is_file():
        sys.exit(f"{metadata} does not exist; RUNS is the folder of a dataset's runs, as runs/ml-1m")
    console = Console()
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(metadata)
    drawn = Table("test rows", "RMSE cold", "warm", "change", "steps", "seconds cold", "warm", "share", "fit")
    for column in drawn.columns:
        column.justify = "right"
    pairs: list[tuple[Trained, Trained]] = []
    with console.status("looking for runs") as status:
        for run in past_runs(MetadataStore(connection)):
            if "Trainer.base_model" not in run or why_not(run["Trainer.base_model"]):
                continue
            status.update(f"training, run {len(pairs) + 1}")
            test = test_rows(run)
            served = path_utils.serving_model_path(run["Trainer.base_model"].uri)
            try:
                pairs.append((trained(run, preset, None, test), trained(run, preset, served, test)))
            except ValueError as error:
                sys.exit(f"the runs are not of the preset {told.preset}, it seems: {error}")
            drawn.add_row(f"{len(test[1]):,}", *row(*pairs[-1]))
    if not pairs:
        sys.exit(f"no training in {told.runs} began with a served model, or its artifacts are gone")
    drawn.add_section()
    total = [
        Trained(*np.mean([dataclasses.astuple(one) for one in side], axis=0))
        for side in zip(*pairs, strict=True)
    ]
    drawn.add_row("mean", *row(*total))
    console.print(drawn)


def row(cold: Trained, warm: Trained) -> list[str]:
    """Set two trainings beside each other."""
    return [
        f"{cold.test_rmse:.4f}",
        f"{warm.test_rmse:.4f}",
        f"{warm.test_rmse - cold.test_rmse:+.4f}",
        f"{cold.steps:.0f}, {warm.steps:.0f}",
        f"{cold.seconds:.1f}",
        f"{warm.seconds:.1f}",
        f"{warm.seconds / cold.seconds:.2f}",
        f"{warm.fit_seconds / cold.fit_seconds:.2f}",
    ]


if __name__ == "__main__":
    main()
