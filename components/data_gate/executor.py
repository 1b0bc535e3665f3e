"""How DataGate decides."""

import json
import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components import progress
from components.errors import RunStoppedError

REPORT_FILE = "report.json"
_ANOMALIES_FILE = "SchemaDiff.pb"
_SHOWN = 10


class Executor(base_executor.BaseExecutor):
    """Reads the anomalies of every split."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the report.

        Raises:
          RunStoppedError: a split has an anomaly; the message lists them.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        anomalies = artifact_utils.get_single_instance(input_dict["anomalies"])
        splits = artifact_utils.decode_split_names(anomalies.split_names)
        findings = [
            finding
            for split in splits
            for finding in read_findings(
                os.path.join(artifact_utils.get_split_uris([anomalies], split)[0], _ANOMALIES_FILE), split
            )
        ]
        if findings:
            more = f"\n  … and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
            listed = "".join(f"\n  {finding}" for finding in findings[:_SHOWN])
            raise RunStoppedError(
                f"the data does not fit schema/schema.pbtxt, anomalies: {len(findings)}{listed}{more}\n"
                "Mend the data, or review the schema if the data is right."
            )
        blessing = artifact_utils.get_single_instance(output_dict["data_blessing"])
        io_utils.write_string_file(
            os.path.join(blessing.uri, REPORT_FILE), json.dumps({"splits": splits, "anomalies": []})
        )
        progress.report(1.0, f"no anomalies in {len(splits)} splits")


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
