"""All that a report says of a run, read from its artifacts."""

import dataclasses
import datetime

from components.data_gate.report import Report as DataReport
from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.evaluator.results import Evaluation
from components.fit_config import FitConfig
from components.model_report.config import DatasetFacts
from components.model_report.labels import SliceGroup, grouped
from components.ratings_example_gen.config import ExampleGenConfig, RunDays
from components.ratings_example_gen.counts import RowCounts
from components.ratings_example_gen.parse import RATINGS_FILE
from components.serving_validator.report import Report
from components.trainer.history import History
from components.trainer.start import Start


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """What was configured, measured and decided."""

    dataset: DatasetFacts
    example_gen: ExampleGenConfig
    days: RunDays | None  # None of a flat dataset
    model: DeepFMConfig
    train: FitConfig
    evaluator: EvaluatorConfig
    counts: dict[str, RowCounts]  # by file
    data: DataReport
    start: Start
    history: History
    evaluation: Evaluation
    serving: Report
    pushed_version: int | None
    written: datetime.date  # UTC
    software: dict[str, str]  # name to version

    @property
    def ratings(self) -> RowCounts:
        """Counts of the file of ratings."""
        return self.counts[RATINGS_FILE]

    @property
    def reasons(self) -> list[str]:
        """Why the model is not blessed; empty if it is."""
        return [
            *(f"Evaluator: {reason}" for reason in self.evaluation.reasons),
            *(f"ServingValidator: {failure}" for failure in self.serving.failures),
        ]

    @property
    def blessed(self) -> bool:
        """Whether both gates let the model pass."""
        return self.evaluation.blessed and not self.serving.failures

    @property
    def rejections(self) -> list["Rejection"]:
        """The rejected rows by file and reason, the most frequent first."""
        found = [
            Rejection(file, reason, rows)
            for file, counts in self.counts.items()
            for reason, rows in counts.rejected.items()
        ]
        return sorted(found, key=lambda rejection: -rejection.rows)

    @property
    def groups(self) -> list[SliceGroup]:
        """The slices of the test split by feature."""
        return grouped(self.evaluation.slices)


@dataclasses.dataclass(frozen=True)
class Rejection:
    """How many rows of a file were rejected for a reason."""

    file: str
    reason: str
    rows: int
