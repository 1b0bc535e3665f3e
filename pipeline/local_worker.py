"""The process in which a local run happens: TFX's Beam orchestrator, its output in the run's log.

`pipeline.local` starts it with a pickled `Job` on standard input, and with both standard streams on the
log file. Standard input then stays open: when it ends, the parent is gone, and so the worker goes too. Until
then the worker holds the parent's lock on the dataset with it.
"""

import json
import logging
import os
import pickle
import shutil
import sys
import threading
import time
from importlib import metadata as distributions
from typing import Any

import tensorflow as tf
from absl import logging as absl_logging
from apache_beam.options.pipeline_options import StandardOptions
from ml_metadata.proto.metadata_store_pb2 import Event, Execution  # type: ignore[attr-defined]
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.beam import beam_dag_runner
from tfx.types import artifact_utils

from components import progress
from components.errors import RunStoppedError
from pipeline import events, node_reports, retention
from pipeline.beam_errors import own_words
from pipeline.config import PipelineConfig
from pipeline.graph import create_pipeline
from pipeline.job import SUMMARY_FILE, Job
from pipeline.tuning import create_tuning_pipeline
from pipeline.tuning_config import TuningConfig

_DATA_GATES = ("RatingsExampleGen", "DataGate")
_PACKAGES = (
    "tfx",
    "tensorflow",
    "keras",
    "keras-tuner",
    "tensorflow-transform",
    "apache-beam",
    "tensorflow-model-analysis",
    "tensorflow-serving-api",
    "numba",
    "numpy",
    "pyarrow",
    "scipy",
)


class _Node(beam_dag_runner.PipelineNodeAsDoFn):
    """A node that tells when it starts, finishes or fails."""

    def _run_node(self) -> None:
        _run.current = self._node_id
        _run.events.write(events.Event(events.STARTED, self._node_id))
        start = time.monotonic()
        try:
            super()._run_node()
            cached, artifacts = _last_execution(self._mlmd_connection_config, self._node_id)
            found = node_reports.report(self._node_id, artifacts)
        except Exception as error:
            seconds = time.monotonic() - start
            _run.events.write(events.Event(events.FAILED, self._node_id, cause(error), seconds))
            _run.summary |= {
                "failed_node": self._node_id,
                "error": cause(error),
                "data_refused": isinstance(error, RunStoppedError)
                and error.of_data
                and self._node_id in _DATA_GATES,
            }
            if isinstance(error, RunStoppedError) and error.rejected_rows:
                _run.summary |= node_reports.ingestion(error.rejected_rows).summary
            raise
        seconds = time.monotonic() - start
        _run.summary |= found.summary
        _run.summary["seconds_by_node"][self._node_id] = round(seconds, 3)
        _run.summary["cached_nodes"] += [self._node_id] * cached
        _run.events.write(events.Event(events.FINISHED, self._node_id, found.text, seconds, cached))


class _Runner(beam_dag_runner.BeamDagRunner):
    """TFX's Beam orchestrator with nodes that report."""

    _PIPELINE_NODE_DO_FN_CLS = _Node


class _Run:
    """The state of this process's one run; Beam pickles the nodes, so they find it here."""

    events: events.EventWriter
    summary: dict[str, Any]
    current: str = ""


_run = _Run()


class _ProgressHandler(logging.Handler):
    """Passes progress on to the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a progress event of the running node."""
        fraction, text = record.__dict__["progress"]
        _run.events.write(events.Event(events.PROGRESS, _run.current, f"{fraction:.0%} {text}"))


def cause(error: BaseException) -> str:
    """Return what a person needs to know of an error: its own words, without Beam's frames, and the lines."""
    text = own_words(error)
    if not isinstance(error, RunStoppedError):
        return f"{type(error).__name__}: {text}"
    return f"{text} {error.kept}" if error.rejected_rows else text


def _last_execution(connection: Any, node: str) -> tuple[bool, node_reports.Artifacts]:
    """Return whether a node's latest execution was cached, and its output artifacts by name."""
    with metadata.Metadata(connection) as handle:
        store = handle.store
        executions = [
            execution
            for context in store.get_contexts_by_type("node")
            if context.name.endswith(f".{node}")
            for execution in store.get_executions_by_context(context.id)
        ]
        last = max(executions, key=lambda execution: execution.id)
        outputs = [
            event for event in store.get_events_by_execution_ids([last.id]) if event.type == Event.OUTPUT
        ]
        protos = {a.id: a for a in store.get_artifacts_by_id([event.artifact_id for event in outputs])}
        kinds = {t.id: t for t in store.get_artifact_types()}
        artifacts = {}
        for event in outputs:
            proto = protos[event.artifact_id]
            artifacts[event.path.steps[0].key] = artifact_utils.deserialize_artifact(
                kinds[proto.type_id], proto
            )
        return last.last_known_state == Execution.CACHED, artifacts


def forget_interrupted(config: PipelineConfig) -> list[int]:
    """Mark executions that a killed run left running as failed, and remove what they had written.

    Returns:
      Their ids in ML Metadata.
    """
    connection = metadata.sqlite_metadata_connection_config(str(config.metadata))
    with metadata.Metadata(connection) as handle:
        interrupted = [
            execution
            for execution in handle.store.get_executions()
            if execution.last_known_state == Execution.RUNNING
        ]
        for execution in interrupted:
            execution.last_known_state = Execution.FAILED
            for leftover in config.artifacts.glob(f"*/*/{execution.id}"):
                shutil.rmtree(leftover)
        if interrupted:
            handle.store.put_executions(interrupted)
    return [execution.id for execution in interrupted]


def _graph(config: PipelineConfig) -> pipeline.Pipeline:
    """Return the graph of a run, or of a search."""
    return create_tuning_pipeline(config) if isinstance(config, TuningConfig) else create_pipeline(config)


def run(job: Job) -> int:
    """Run the pipeline; write summary.json whatever comes; return the exit status."""
    _run.events = events.EventWriter(job.event_descriptor)
    _run.summary = {
        **job.facts,
        "state": "failed",
        "seconds_by_node": {},
        "cached_nodes": [],
        "packages": {name: distributions.version(name) for name in _PACKAGES},
    }
    progress.LOGGER.addHandler(_ProgressHandler())
    start = time.monotonic()
    status = 1
    try:
        interrupted = forget_interrupted(job.config)
        if interrupted:
            logging.warning("executions %s were interrupted and start over", interrupted)
        _Runner().run(_graph(job.config))
        _run.summary["state"] = "succeeded"
        status = 0
    except Exception as error:
        logging.exception("the run failed")
        if "error" not in _run.summary:
            _run.summary["error"] = cause(error)
            _run.events.write(events.Event(events.FAILED, _run.current, cause(error)))
    _run.summary["seconds"] = round(time.monotonic() - start, 3)
    try:
        _write_summary(job)
    except OSError as error:
        status = 1
        _tell(f"{SUMMARY_FILE} could not be written: {error}")
    # On a full disk, this makes room for the next run.
    _remove_old(job.config)
    return status


def _write_summary(job: Job) -> None:
    """Complete the summary and write it; `latest` then points at this run."""
    summary = _run.summary
    if not isinstance(job.config, TuningConfig):
        _tell_of_gates(summary)
    partial = job.run_folder / f"{SUMMARY_FILE}.partial"
    partial.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    partial.rename(job.run_folder / SUMMARY_FILE)
    link = job.config.root / "latest"
    fresh = link.with_name(".latest")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(job.run_folder, link.parent))
    fresh.rename(link)


def _tell_of_gates(summary: dict[str, Any]) -> None:
    """Add what became of the model, also where the run did not come to the gates."""
    gates = {
        "Evaluator": summary.get("evaluation"),
        "ServingValidator": summary.get("serving_validation"),
    }
    summary["blessed"] = all(gate is not None and gate["blessed"] for gate in gates.values())
    summary["blessing_reasons"] = [
        f"{node}: {reason}" for node, gate in gates.items() if gate for reason in gate["reasons"]
    ]
    summary.setdefault("pushed_version", None)
    if "metrics" in summary and "validation" in summary:
        valid = {**summary["validation"], "count": summary["rows_by_split"]["valid"]}
        summary["metrics"]["valid"] = {"overall": valid}


def _remove_old(config: PipelineConfig) -> None:
    """Remove what old runs left; the run that has ended stays what it is where that cannot be done."""
    try:
        retention.remove_old(config, nodes=len(_graph(config).components))
    except Exception as error:
        _tell(f"what old runs left could not be removed: {error}")


def _tell(text: str) -> None:
    """Tell a person, and the log, of an error that is being handled."""
    logging.exception(text)
    _run.events.write(events.Event(events.FAILED, "", text))


def _exit_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def main() -> None:
    """Run the job that comes on standard input."""
    job: Job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # The default would download the Prism runner and try that first.
    StandardOptions.DEFAULT_RUNNER = "FnApiRunner"
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    tf.get_logger().setLevel("INFO")
    sys.exit(run(job))
