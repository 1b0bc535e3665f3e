"""What DataGate holds the data to, and what it does about what does not keep it."""

import dataclasses
import enum
from typing import Any

from components.json_config import JsonConfig


class Severity(enum.StrEnum):
    """What a finding does."""

    WARN = "warn"  # it is in the reports
    STOP = "stop"  # it stops the run


class Kind(enum.StrEnum):
    """What is measured; each is the field of `DataGateConfig` that says its severity."""

    DRIFT = "drift"
    NEWEST = "newest"
    OOV = "oov"
    MISSING = "missing"
    MEAN_RATING = "mean_rating"
    VOLUME = "volume"
    QUIET = "quiet"
    REPEATED = "repeated"
    REJECTED = "rejected"
    REQUESTS = "requests"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataGateConfig(JsonConfig):
    """Severities and bounds.

    The distances that are let pass, of drift and of the newest rows, are comparators in schema.pbtxt. The
    defaults leave room above what MovieLens 1M shows, whose days have 1 to 63,654 ratings.
    """

    drift: Severity = Severity.STOP  # training rows against those of the served version: drift_comparator
    newest: Severity = Severity.STOP  # test rows against the training rows: skew_comparator
    oov: Severity = Severity.STOP  # test rows whose user or movie the served version does not know
    missing: Severity = Severity.STOP  # rows without a value
    mean_rating: Severity = Severity.STOP  # mean rating of a day against the days before
    volume: Severity = Severity.STOP  # rows of a day against the days before
    quiet: Severity = Severity.WARN  # a day without rows
    repeated: Severity = Severity.STOP  # rows of a day whose user and movie an earlier day had too
    rejected: Severity = Severity.STOP  # lines of a day that were rejected
    requests: Severity = Severity.WARN  # logged requests against the training rows: skew_comparator

    min_drift_rows: int = 5000  # training rows, of both, below which their distance is chance
    min_newest_rows: int = 1000  # test rows below which their distance from the training rows is chance
    min_newest_users: float = 20.0  # effective users in the test rows; what fewer are like is chance
    min_request_rows: int = 1000  # logged rows below which their distance is chance
    min_oov_rows: int = 50  # test rows below which the share of unknown ones is chance
    min_rows: int = 20  # of a day: below, no share or mean is judged
    max_uid_oov: float = 0.999  # share of the test rows, 0 to 1; most ratings come in as a user joins
    max_mid_oov: float = 0.8  # share of the test rows, 0 to 1
    max_more_missing: float = 0.2  # share of rows without a value beyond that of before, 0 to 1
    trailing_days: int = 28  # days before a day that it is held against
    min_trailing_days: int = 7  # fewer days before it give no measure
    max_standard_errors: float = 4.0  # of a day's mean from the mean before; and also
    max_rating_change: float = 0.5  # stars; a day must be beyond both to be a finding
    user_correlation: float = 0.2  # of the ratings by one user, 0 to 1: how much less than one each they tell
    min_volume_ratio: float = 0.01  # rows of a day by the median of the days before
    max_volume_ratio: float = 50.0
    max_repeated: float = 0.5  # share of a day's rows, 0 to 1
    max_day_rejected: float = 0.2  # share of a day's lines, 0 to 1

    def __post_init__(self) -> None:
        for kind in Kind:
            object.__setattr__(self, kind, Severity(getattr(self, kind)))
        for name in (
            "max_uid_oov",
            "max_mid_oov",
            "max_more_missing",
            "user_correlation",
            "max_repeated",
            "max_day_rejected",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be from 0 to 1, got {getattr(self, name)}")
        for name in (
            "min_drift_rows",
            "min_newest_rows",
            "min_newest_users",
            "min_request_rows",
            "min_oov_rows",
            "min_rows",
            "trailing_days",
            "min_trailing_days",
            "max_standard_errors",
            "max_rating_change",
            "min_volume_ratio",
            "max_volume_ratio",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        if self.min_volume_ratio > self.max_volume_ratio:
            raise ValueError(
                "`min_volume_ratio` must be at most `max_volume_ratio`, got "
                f"{self.min_volume_ratio} and {self.max_volume_ratio}"
            )

    def severity(self, kind: Kind) -> Severity:
        """Return what a finding of a kind does."""
        severity: Severity = getattr(self, kind)
        return severity

    def accepting(self) -> "DataGateConfig":
        """Return the configuration in which no finding stops the run."""
        severities: dict[str, Any] = dict.fromkeys(Kind, Severity.WARN)
        return dataclasses.replace(self, **severities)
