"""How DataGate decides."""

import json
import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import progress
from components.data_gate import days, drift, oov, requests
from components.data_gate.config import DataGateConfig, Kind, Severity
from components.data_gate.report import Measurement, Report, advice
from components.errors import RunStoppedError
from components.ratings_example_gen import counts
from components.ratings_example_gen.artifacts import SPANS
from components.ratings_example_gen.parse import RATINGS_FILE
from components.ratings_example_gen.split import SPLITS, TEST, TRAIN
from components.served_model.properties import BASELINE_VERSION, NO_VERSION, TRAIN_STATISTICS
from serving import versions

_ANOMALIES_FILE = "SchemaDiff.pb"
_SCHEMA_FILE = "schema.pbtxt"
_SHOWN = 10


class Executor(base_executor.BaseExecutor):
    """Reads the anomalies of every split, and measures the data against what was there before."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the report.

        Raises:
          RunStoppedError: a split has an anomaly, or a figure is out of bounds whose severity is to stop;
            the message lists them. Or what the served version carries is damaged.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = DataGateConfig.from_json(exec_properties["data_gate_config"])
        inputs = {name: artifact_utils.get_single_instance(found) for name, found in input_dict.items()}
        splits = artifact_utils.decode_split_names(inputs["anomalies"].split_names)
        anomalies = [
            finding
            for split in splits
            for finding in read_findings(
                os.path.join(artifact_utils.get_split_uris([inputs["anomalies"]], split)[0], _ANOMALIES_FILE),
                split,
            )
        ]
        if anomalies:
            raise RunStoppedError(
                f"the data does not fit schema/schema.pbtxt, anomalies: {_listed(anomalies)}\n"
                "Mend the data, or review the schema if the data is right."
            )
        report = _measure(inputs, splits, config, exec_properties["serving_dir"])
        stopping = [finding for finding in report.findings if finding.severity is Severity.STOP]
        if stopping:
            raise RunStoppedError(
                "the data is not like what it was before, findings: "
                f"{_listed([finding.text for finding in stopping])}\n"
                f"What to do: {advice(stopping)}. Deliver the data again, or if it is right, let it pass "
                "once with --accept-data."
            )
        report.write(artifact_utils.get_single_uri(output_dict["data_blessing"]))
        progress.report(1.0, report.text)


def _measure(
    inputs: dict[str, types.Artifact], splits: list[str], config: DataGateConfig, serving_dir: str
) -> Report:
    """Return all figures of a run's data."""
    train, test = SPLITS[TRAIN], SPLITS[TEST]
    schema = io_utils.SchemaReader().read(os.path.join(inputs["schema"].uri, _SCHEMA_FILE))
    statistics = {split: drift.split_statistics(inputs["statistics"], split) for split in (train, test)}
    measurements: list[Measurement] = []
    notes: list[str] = []
    version = inputs["baseline_model"].get_int_custom_property(BASELINE_VERSION)
    served = path_utils.serving_model_path(inputs["baseline_model"].uri)
    than = f"version {version}"
    baseline = f"compared with {than}"
    if version == NO_VERSION:
        baseline = "no model was served before this one: no drift to measure"
    elif not fileio.exists(os.path.join(served, TRAIN_STATISTICS)):
        baseline = f"{than} has no {TRAIN_STATISTICS}: no drift to measure"
    else:
        try:
            before = drift.read_statistics(os.path.join(served, TRAIN_STATISTICS))
        except ValueError as error:
            raise RunStoppedError(
                f"of a copy of the served version, {error}\ngo back to a sound version with `deepfm rollback`"
            ) from error
        measurements += drift.more_missing(statistics[train], before, where=train, than=than, config=config)
        rows = min(drift.rows(statistics[train]), drift.rows(before))
        if rows < config.min_drift_rows:
            notes.append(f"drift: {rows:,} training rows, {config.min_drift_rows:,} needed")
        else:
            measurements += drift.drift(
                statistics[train], before, schema, where=train, than=than, config=config
            )
    if version != NO_VERSION:
        folder = artifact_utils.get_split_uris([inputs["examples"]], test)[0]
        found, unjudged = oov.unknown(folder, served, where=test, than=than, config=config)
        measurements += found
        notes += unjudged
    rows = drift.rows(statistics[test])
    if rows < config.min_newest_rows:
        notes.append(f"newest rows: {rows:,} in {test}, {config.min_newest_rows:,} needed")
    else:
        measurements += drift.skew(
            statistics[train], statistics[test], schema, kind=Kind.NEWEST, where=test, config=config
        )
    logged = requests.read(serving_dir)
    if logged.rows < config.min_request_rows:
        notes.append(f"requests: {logged.rows:,} logged, {config.min_request_rows:,} needed")
    else:
        where = "logged requests"
        measurements += drift.skew(
            statistics[train], logged.statistics, schema, kind=Kind.REQUESTS, where=where, config=config
        )
        measurements += drift.more_missing(
            logged.statistics,
            statistics[train],
            kind=Kind.REQUESTS,
            where=where,
            than="the training split",
            config=config,
        )
    told = inputs["examples"].get_string_custom_property(SPANS)
    new: list[str] = []
    if told:
        spans = json.loads(told)
        ratings = counts.read(inputs["rejected_rows"].uri)[RATINGS_FILE]
        by_day = days.read_days(ratings, spans)
        new = days.new_days(by_day, spans, _spans_of(served))
        found, unjudged = days.judge(by_day, new, config)
        measurements += found
        notes += unjudged
    return Report(splits=splits, baseline=baseline, days=new, measurements=measurements, notes=notes)


def _spans_of(served: str) -> dict[str, Any] | None:
    """Return which days a served version read; None where it does not say, or there is none."""
    path = os.path.join(served, versions.MANIFEST)
    if not fileio.exists(path):
        return None
    spans: dict[str, Any] | None = json.loads(io_utils.read_string_file(path)).get(SPANS)
    return spans


def _listed(findings: list[str]) -> str:
    """Return how many there are, and the first of them, a line each."""
    more = f"\n  … and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    return f"{len(findings)}" + "".join(f"\n  {finding}" for finding in findings[:_SHOWN]) + more


def read_findings(path: str, split: str) -> list[str]:
    """Return the anomalies of a split's SchemaDiff.pb, one readable line each."""
    with fileio.open(path, "rb") as file:
        anomalies = anomalies_pb2.Anomalies.FromString(file.read())
    findings = []
    if anomalies.data_missing:
        findings.append(f"{split}: no examples at all")
    if anomalies.dataset_anomaly_info.description:
        findings.append(f"{split}: {anomalies.dataset_anomaly_info.description}")
    for name, info in sorted(anomalies.anomaly_info.items()):
        findings.append(f"{split}: `{name}`: {info.short_description}: {info.description}")
    return findings
