"""The report that ServingValidator leaves beside the version."""

import dataclasses
import json
import os
from typing import Any, Self

from tfx.utils import io_utils

REPORT_FILE = "report.json"  # in the blessing
FINGERPRINT = "fingerprint"  # string property of the blessing: identity of the validated model


@dataclasses.dataclass(frozen=True)
class Report:
    """Why the version was not blessed, if so, and what was measured."""

    failures: list[str]
    figures: dict[str, Any]  # largest_difference, predict_ms, rank_ms, bytes; stderr of a process that died

    def write(self, folder: str) -> None:
        """Write the report into the folder of a blessing."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        io_utils.write_string_file(os.path.join(folder, REPORT_FILE), text)

    @classmethod
    def read(cls, folder: str) -> Self:
        """Read the report in the folder of a blessing."""
        return cls(**json.loads(io_utils.read_string_file(os.path.join(folder, REPORT_FILE))))
