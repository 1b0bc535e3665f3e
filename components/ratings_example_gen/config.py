"""What RatingsExampleGen can be told."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping

from components.json_config import JsonConfig


class SplitMethod(enum.StrEnum):
    """How rows are divided into train, valid and test."""

    RANDOM = "random"  # by a seeded hash of (uid, mid)
    TIME = "time"  # the last part of the timeline is the test split, the part before it valid


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanConfig(JsonConfig):
    """Which days of a folder of days are read, and what for.

    The evaluation span ends on the run date; the window of training days ends where it begins.
    """

    run_date: str  # as 2000-12-31
    window_days: int | None = None  # days of the training window, at least 1; None: from the first day on
    evaluation_days: int = 7  # days of the evaluation span, at least 1
    allow_missing: bool = False  # go on without the days that are missing or late

    def __post_init__(self) -> None:
        try:
            valid = datetime.date.fromisoformat(self.run_date).isoformat() == self.run_date
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"`run_date` must be a date like 2000-12-31, got {self.run_date!r}")
        for name, days in (("window_days", self.window_days), ("evaluation_days", self.evaluation_days)):
            if days is not None and days < 1:
                raise ValueError(f"`{name}` must be at least 1, got {days}")

    @property
    def last_day(self) -> datetime.date:
        """Last day of the evaluation span."""
        return datetime.date.fromisoformat(self.run_date)

    @property
    def evaluation_start(self) -> datetime.date:
        """First day of the evaluation span; all training days lie before it."""
        return self.last_day - datetime.timedelta(days=self.evaluation_days - 1)

    @property
    def window_start(self) -> datetime.date:
        """First day of the training window; the first of all days where the window is not bounded."""
        if self.window_days is None:
            return datetime.date.min
        return self.evaluation_start - datetime.timedelta(days=self.window_days)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleGenConfig(JsonConfig):
    """How rows are split, how many bad ones are let pass, and what counts as an active user."""

    split: SplitMethod = SplitMethod.RANDOM
    split_seed: int = 0  # of the hash; the training seed does not change who is in which split
    valid_fraction: float = 0.05  # share of accepted rows, above 0
    test_fraction: float = 0.1  # share of accepted rows, above 0
    max_rejected_fraction: float = 0.01  # share of the lines of a file, 0 to 1; more stops the run
    cold_below: int = 10  # fewer ratings in the training split than this: "cold"
    heavy_from: int = 200  # this many ratings in the training split or more: "heavy"
    shard_bytes: int = 16 << 20  # input bytes per output shard; bounds the memory of a Beam worker
    spans: SpanConfig | None = None  # for a folder of days: its evaluation span is the test split

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", SplitMethod(self.split))
        if isinstance(self.spans, Mapping):
            object.__setattr__(self, "spans", SpanConfig.from_values(self.spans))
        if self.spans and self.split is not SplitMethod.RANDOM:
            raise ValueError(
                f"`split` must be random for a folder of days, got {self.split}: "
                "the evaluation span is the test split there"
            )
        for name in ("valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be between 0 and 1, got {getattr(self, name)}")
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "`valid_fraction` and `test_fraction` must leave rows to train on, got "
                f"{self.valid_fraction} and {self.test_fraction}"
            )
        if not 0 <= self.max_rejected_fraction <= 1:
            raise ValueError(f"`max_rejected_fraction` must be from 0 to 1, got {self.max_rejected_fraction}")
        if not 0 < self.cold_below <= self.heavy_from:
            raise ValueError(
                "`cold_below` must be positive and at most `heavy_from`, got "
                f"{self.cold_below} and {self.heavy_from}"
            )
        if self.shard_bytes <= 0:
            raise ValueError(f"`shard_bytes` must be positive, got {self.shard_bytes}")

    @property
    def split_identity(self) -> str:
        """What decides which rows are test rows, but for the dates of a folder of days."""
        if self.spans:
            return f"spans seed={self.split_seed} valid={self.valid_fraction}"
        return f"{self.split} seed={self.split_seed} test={self.test_fraction} valid={self.valid_fraction}"
