"""What ServingValidator checks."""

import dataclasses
import itertools
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import progress
from components.choice.next_movie import NextMovie
from components.errors import RunStoppedError
from components.ratings_example_gen.artifacts import EVALUATION_START, SPANS
from components.ratings_example_gen.properties import FIRST_RATING, LAST_RATING
from components.ratings_example_gen.split import SPLITS, TEST, TRAIN
from components.served_model.properties import BASELINE_VERSION, TRAIN_STATISTICS, TRAINING_IDENTITY
from components.serving_validator import session_check
from components.serving_validator.config import ServingValidatorConfig
from components.serving_validator.report import FINGERPRINT, Report
from components.serving_validator.session_check import Answer, Request
from components.trainer.export import as_parsed
from components.trainer.model_files import KERAS_MODEL_PATH, KERAS_ORDER_PATH
from schema import features
from serving import catalogue, versions, warmup

_UNKNOWN_ID = 2**62
_TIMED_CALLS = 20


class Executor(base_executor.BaseExecutor):
    """Puts the version together, asks it in a fresh process, and blesses it or says why not."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the version, the report and the blessing.

        Raises:
          RunStoppedError: whether the model can be served could not be found out.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = ServingValidatorConfig.from_json(exec_properties["validator_config"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        source = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        version = path_utils.stamped_model_path(blessing.uri)
        io_utils.copy_dir(source, version)
        io_utils.copy_dir(
            artifact_utils.get_single_uri(input_dict["catalogue"]), os.path.join(version, catalogue.FOLDER)
        )
        statistics = artifact_utils.get_single_instance(input_dict["statistics"])
        io_utils.copy_file(
            os.path.join(artifact_utils.get_split_uris([statistics], SPLITS[TRAIN])[0], DEFAULT_FILE_NAME),
            os.path.join(version, TRAIN_STATISTICS),
        )
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        baseline = artifact_utils.get_single_instance(input_dict["baseline_model"])
        manifest = json.loads(exec_properties["manifest"]) | {
            key: examples.get_int_custom_property(key) for key in (FIRST_RATING, LAST_RATING)
        }
        if evaluation_start := examples.get_string_custom_property(EVALUATION_START):
            manifest[EVALUATION_START] = evaluation_start
            manifest[SPANS] = json.loads(examples.get_string_custom_property(SPANS))
        manifest |= {
            BASELINE_VERSION: baseline.get_int_custom_property(BASELINE_VERSION),
            TRAINING_IDENTITY: baseline.get_string_custom_property(TRAINING_IDENTITY),
        }
        io_utils.write_string_file(os.path.join(version, versions.MANIFEST), json.dumps(manifest, indent=2))

        records = _read_records(input_dict["examples"], config.rows)
        graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        raw = tf.io.parse_example(records, graph.raw_feature_spec())
        expected = training_answers(os.path.join(source, KERAS_MODEL_PATH), graph, raw)
        order_path = os.path.join(source, KERAS_ORDER_PATH)
        questions = Questions(
            *(raw[f.name].numpy() for f in (features.UID, features.MID, features.TIMESTAMP))
        )
        tables = catalogue.Catalogue.load(os.path.join(version, catalogue.FOLDER))
        requests = build_requests(records, questions, tables, config)
        warmup.write_warmup_requests(
            os.path.join(version, warmup.REQUESTS),
            versions.MODEL_NAME,
            build_warmup(records, questions, tables, config.warmup_requests),
        )
        progress.report(0.5, "asking the model in a fresh process")
        candidates = requests["rank_as_predict"].inputs
        failures, figures = _ask_and_check(
            version,
            requests,
            expected,
            config,
            lambda ratings: training_scores(order_path, graph, candidates, ratings),
        )
        figures["bytes"] = sum(f.stat().st_size for f in Path(version).rglob("*") if f.is_file())
        if figures["bytes"] > config.max_bytes:
            failures.append(
                f"the version has {figures['bytes']:,} bytes, at most {config.max_bytes:,} allowed"
            )

        blessing.set_string_custom_property(FINGERPRINT, versions.content_fingerprint(source))
        blessing.set_int_custom_property("blessed", int(not failures))
        blessing.set_int_custom_property("has_model", 1)
        io_utils.write_string_file(
            os.path.join(blessing.uri, "INFRA_NOT_BLESSED" if failures else "INFRA_BLESSED"), ""
        )
        Report(failures, figures).write(blessing.uri)
        progress.report(1.0, "; ".join(failures) or f"parity {figures['largest_difference']:.1e}")


@dataclasses.dataclass(frozen=True)
class Questions:
    """What the examples ask: int64[n] each."""

    uids: np.ndarray
    mids: np.ndarray
    timestamps: np.ndarray  # seconds since 1970-01-01 UTC

    def inputs(self, rows: slice | np.ndarray, tables: catalogue.Catalogue) -> dict[str, np.ndarray]:
        """Return the inputs of signature `predict` for some of them."""
        return tables.predict_inputs(self.uids[rows], self.mids[rows], self.timestamps[rows])


def _read_records(examples: list[types.Artifact], rows: int) -> np.ndarray:
    """Return the first serialized examples of the test split; they lie in the order of their hash."""
    folder = artifact_utils.get_split_uris(examples, SPLITS[TEST])[0]
    files = sorted(fileio.glob(os.path.join(folder, "*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return np.array(list(itertools.islice(records, rows)), object)


def training_answers(
    keras_path: str, graph: tft.TFTransformOutput, raw: dict[str, tf.Tensor | tf.SparseTensor]
) -> np.ndarray:
    """Return what the Keras model says of transformed raw features, float32[n]."""
    # Uncompiled: what it was trained with, metrics of its own among it, is not asked for here.
    model = keras.models.load_model(keras_path, compile=False)
    transformed = graph.transform_features_layer()(raw)
    return model({name: transformed[name] for name in model.input}, training=False).numpy()


def training_scores(
    order_path: str, graph: tft.TFTransformOutput, inputs: dict[str, np.ndarray], ratings: np.ndarray
) -> np.ndarray:
    """Return what the Keras model of the order says of m pairs, float32[m]; without one, the ratings.

    Args:
      order_path: where the model is, if there is one.
      graph: that transforms what it reads.
      inputs: of signature `predict`.
      ratings: predicted, float32[m].
    """
    if not fileio.exists(order_path):
        return ratings
    # Named, since nothing else in this process may have imported it.
    order = keras.models.load_model(order_path, {NextMovie.__name__: NextMovie}, compile=False)
    raw = {name: tf.constant(values) for name, values in inputs.items()}
    known = graph.transform_features_layer()(as_parsed(raw, graph.raw_feature_spec()))
    known[features.RATING.name] = tf.constant(ratings)
    return order({name: known[name] for name in order.input}, training=False).numpy()


def build_requests(
    records: np.ndarray, questions: Questions, tables: catalogue.Catalogue, config: ServingValidatorConfig
) -> dict[str, Request]:
    """Return what a served model must be able to answer, by name."""
    repeated = np.resize(np.arange(len(records)), config.oversized_rows)
    user, moment = int(questions.uids[0]), int(questions.timestamps[0])
    unknown = np.array([_UNKNOWN_ID])
    none = np.array([], np.int64)
    return {
        "serving_default": Request("serving_default", {"examples": records}),
        "predict": Request("predict", questions.inputs(slice(None), tables)),
        "one": Request("predict", questions.inputs(slice(1), tables), _TIMED_CALLS),
        "unknown": Request("predict", tables.predict_inputs(unknown, unknown)),
        "empty": Request("predict", tables.predict_inputs(none, none)),
        "oversized": Request("predict", questions.inputs(repeated, tables)),
        "rank": Request("rank", tables.rank_inputs(user, tables.mids, moment), _TIMED_CALLS),
        "rank_as_predict": Request(
            "predict", tables.predict_inputs(np.full_like(tables.mids, user), tables.mids, moment)
        ),
        "rank_unknown": Request("rank", tables.rank_inputs(_UNKNOWN_ID, tables.mids)),
    }


def build_warmup(
    records: np.ndarray, questions: Questions, tables: catalogue.Catalogue, n: int
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return requests of each signature, of growing size."""
    requests = []
    for i in range(min(n, len(records))):
        rows = slice(0, i + 1)
        requests.append(("serving_default", {"examples": records[rows]}))
        user, moment = int(questions.uids[i]), int(questions.timestamps[i])
        requests.append(("predict", questions.inputs(rows, tables)))
        requests.append(("rank", tables.rank_inputs(user, questions.mids[rows], moment)))
    return requests


def _ask_and_check(
    version: str,
    requests: dict[str, Request],
    expected: np.ndarray,
    config: ServingValidatorConfig,
    score: Callable[[np.ndarray], np.ndarray],
) -> tuple[list[str], dict[str, Any]]:
    """Return the failures and the measured figures.

    Raises:
      RunStoppedError: the fresh process failed for a reason that is not the model's.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / session_check.REQUESTS).write_bytes(pickle.dumps(list(requests.values())))
        root = str(Path(__file__).parents[2])
        try:
            done = subprocess.run(
                [sys.executable, "-m", session_check.__name__, version, name],
                check=False,
                capture_output=True,
                text=True,
                timeout=config.max_seconds,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
            )
        except subprocess.TimeoutExpired as error:
            ready = (folder / session_check.READY).exists()
            what = "did not answer" if ready else "was not ready for it"
            raise _no_verdict(f"{what} within {config.max_seconds:g} s", ready=ready) from error
        if done.returncode:
            raise _died(done, ready=(folder / session_check.READY).exists())
        told = pickle.loads((folder / session_check.ANSWERS).read_bytes())
    if isinstance(told, str):
        return [f"a fresh process could not serve the model: {told}"], {"stderr": done.stderr}
    answers = {name: Answer(*fields) for name, fields in zip(requests, told, strict=True)}
    return check(answers, expected, requests["rank"].inputs[features.MID.name], config, score)


def _died(done: subprocess.CompletedProcess[str], *, ready: bool) -> RunStoppedError:
    """Return what is said of a process that could not tell what the model is worth."""
    logging.error("the process that was to load the model said:\n%s", done.stderr)
    when = "while it had the model" if ready else "before it touched the model"
    if done.returncode < 0:
        # A crash too: where memory is short, TensorFlow may end by SIGSEGV or SIGABRT.
        name = signal.strsignal(-done.returncode)
        return _no_verdict(f"was ended by signal {-done.returncode} ({name}) {when}", ready=ready)
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    return _no_verdict(f"failed {when}: {last}", ready=ready)


def _no_verdict(what: str, *, ready: bool) -> RunStoppedError:
    """Return an error in place of a verdict, which the cache would keep: the next run asks again."""
    # The next run takes the same model from the cache: if it is the model's fault after all, that never ends.
    way_out = (
        ". If it comes again, have another model trained: add --cold, or leave this day out by "
        "`deepfm retrain --from` with the day after it"
    )
    return RunStoppedError(
        f"a fresh process that was to load the model {what}. That says nothing of the model: see to the "
        f"machine (memory, disk) and to what is installed on it, and run again{way_out if ready else ''}",
        of_data=False,
    )


def check(
    answers: dict[str, Answer],
    expected: np.ndarray,
    mids: np.ndarray,
    config: ServingValidatorConfig,
    score: Callable[[np.ndarray], np.ndarray],
) -> tuple[list[str], dict[str, Any]]:
    """Hold the answers against the training graph's and the bounds; return failures and figures.

    Args:
      answers: by the name of the request.
      expected: ratings of the examples by the training graph, float32[n].
      mids: movies of the request `rank`, int64[m].
      config: the bounds.
      score: returns the scores of `mids` by the training graph, float32[m], of their ratings.
    """
    ratings = {name: answer.outputs[features.RATING.name] for name, answer in answers.items()}
    rows = {
        "serving_default": len(expected),
        "predict": len(expected),
        "one": 1,
        "unknown": 1,
        "empty": 0,
        "oversized": config.oversized_rows,
        "rank": len(mids),
        "rank_as_predict": len(mids),
        "rank_unknown": len(mids),
    }
    misshapen = [
        f"`{name}` gave ratings of shape {ratings[name].shape}, expected ({n},)"
        for name, n in rows.items()
        if ratings[name].shape != (n,)
    ]
    if misshapen:
        return misshapen, {}
    no_numbers = [
        f"`{name}` gave a rating that is no number" for name in rows if not np.isfinite(ratings[name]).all()
    ]
    if no_numbers:
        return no_numbers, {}
    scores = answers["rank"].outputs.get(features.SCORE.name, np.empty(0))
    if scores.shape != (len(mids),) or not np.isfinite(scores).all():
        return ["`rank` did not give each movie a score"], {}
    ranked = answers["rank"].outputs[features.MID.name]
    if not np.array_equal(np.sort(ranked), np.sort(mids)):
        return ["`rank` did not give each movie of the request once"], {}
    by_mid = np.argsort(mids)
    places = by_mid[np.searchsorted(mids, ranked, sorter=by_mid)]
    rating_of_ranked = ratings["rank_as_predict"][places]
    differences = {
        "serving_default": np.abs(ratings["serving_default"] - expected).max(),
        "predict": np.abs(ratings["predict"] - expected).max(),
        "oversized": np.abs(ratings["oversized"] - np.resize(expected, config.oversized_rows)).max(),
        "rank": np.abs(ratings["rank"] - rating_of_ranked).max(),
        "score": np.abs(scores - score(ratings["rank_as_predict"])[places]).max(),
    }
    failures = [
        f"`{name}` differs from the training graph by {difference:.1e}, allowed {config.tolerance:.0e}"
        for name, difference in differences.items()
        if not difference <= config.tolerance
    ]
    if (np.diff(scores) > 0).any():
        failures.append("`rank` did not give the best movie first")
    figures = {
        "largest_difference": float(max(differences.values())),
        "predict_ms": answers["one"].milliseconds,
        "rank_ms": answers["rank"].milliseconds,
    }
    for name, bound in (("predict_ms", config.max_predict_ms), ("rank_ms", config.max_rank_ms)):
        if figures[name] > bound:
            failures.append(f"`{name}` is {figures[name]:.1f}, at most {bound:.1f} allowed")
    return failures, figures
