"""How DataGate decides."""

import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components import progress
from components.data_gate.config import DataGateConfig, Severity
from components.data_gate.measure import measure
from components.data_gate.report import advice
from components.errors import RunStoppedError

ACCEPT_DATA = "accept_data"
"""The execution property that lets a run's data pass: no finding stops it."""

_ANOMALIES_FILE = "SchemaDiff.pb"
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
        if exec_properties[ACCEPT_DATA]:
            config = config.accepting()
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
        report = measure(inputs, splits, config, exec_properties["serving_dir"])
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
