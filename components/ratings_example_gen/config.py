"""What RatingsExampleGen can be told."""

import dataclasses
import datetime
import enum
import re
from collections.abc import Mapping
from typing import Any

from components.json_config import JsonConfig


class SplitMethod(enum.StrEnum):
    """How rows are divided into train, valid and test."""

    RANDOM = "random"  # by a seeded hash of (uid, mid)
    TIME = "time"  # the last part of the timeline is the test split, the part before it valid


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanConfig(JsonConfig):
    """How a folder of days is read, whatever the date of the run."""

    evaluation_days: int = 7  # days of the evaluation span, at least 1
    allow_missing: bool = False  # go on without the days that are missing or late

    def __post_init__(self) -> None:
        if self.evaluation_days < 1:
            raise ValueError(f"`evaluation_days` must be at least 1, got {self.evaluation_days}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunDays(SpanConfig):
    """Which days of a folder of days one run reads, and what for.

    The evaluation span ends on the run date, or some days before it; the window of training days ends where
    the evaluation span begins.
    """

    run_date: str  # as 2000-12-31
    lag_days: int = 0  # from the last day that is read to the run date; 1 for a run in the night after it
    window_days: int = 0  # days of the training window; 0: from the first day on

    def __post_init__(self) -> None:
        super().__post_init__()
        if re.search(r"\[\[|\{\{", self.run_date):
            raise ValueError(
                f"`run_date` is {self.run_date!r}, which the back end should have replaced by a date: "
                "Kubeflow Pipelines does so from release 2.16 on, and for recurring runs only"
            )
        try:
            valid = datetime.date.fromisoformat(self.run_date).isoformat() == self.run_date
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"`run_date` must be a date like 2000-12-31, got {self.run_date!r}")
        for name in ("lag_days", "window_days"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}")
        try:
            _ = self.evaluation_start, self.window_start
        except OverflowError:
            raise ValueError(f"`window_days` and `lag_days` reach beyond the calendar, got {self}") from None

    @property
    def last_day(self) -> datetime.date:
        """Last day of the evaluation span."""
        return datetime.date.fromisoformat(self.run_date) - datetime.timedelta(days=self.lag_days)

    @property
    def evaluation_start(self) -> datetime.date:
        """First day of the evaluation span; all training days lie before it."""
        return self.last_day - datetime.timedelta(days=self.evaluation_days - 1)

    @property
    def window_start(self) -> datetime.date:
        """First day of the training window; the first of all days where the window is not bounded."""
        if not self.window_days:
            return datetime.date.min
        return self.evaluation_start - datetime.timedelta(days=self.window_days)


RUN_PROPERTIES = ("run_date", "lag_days", "window_days")
"""Fields of `RunDays` that each run is told anew."""


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
    shard_bytes: int = (
        16 << 20
    )  # of input that a Beam worker parses at a time; an output shard is of 1 to 8 times that
    spans: SpanConfig | None = None  # of a folder of days: its evaluation span is the test split

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

    def days(self, properties: Mapping[str, Any]) -> RunDays | None:
        """Return which days a run reads; None of a flat dataset.

        Args:
          properties: `run_date`, `lag_days` and `window_days`, as the node's execution properties have them.

        Raises:
          ValueError: one of them is not what it must be.
        """
        chosen = {name: properties[name] for name in RUN_PROPERTIES}
        if self.spans:
            return RunDays(**dataclasses.asdict(self.spans), **chosen)
        given = [name for name, value in chosen.items() if value]
        if given:
            raise ValueError(
                f"`{given[0]}` is for a folder of days, got {chosen[given[0]]!r} for a flat dataset"
            )
        return None

    @property
    def split_identity(self) -> str:
        """What decides which rows are test rows, but for the dates of a folder of days."""
        if self.spans:
            return f"spans seed={self.split_seed} valid={self.valid_fraction}"
        return f"{self.split} seed={self.split_seed} test={self.test_fraction} valid={self.valid_fraction}"
