"""What DataGate measured, and what it found: the report in its artifact."""

import dataclasses
import json
import os
from typing import Any, Self

from tfx.utils import io_utils

from components.data_gate.config import DataGateConfig, Kind, Severity

REPORT_FILE = "report.json"

_SHARES = (Kind.OOV, Kind.MISSING, Kind.REPEATED, Kind.REJECTED)
_ADVICE = {
    Kind.DRIFT: "look at what changed since the served version was trained",
    Kind.NEWEST: "look at the newest days",
    Kind.OOV: "look whether the ids are still the same ones",
    Kind.MISSING: "look at users.dat",
    Kind.MEAN_RATING: "look at the day's ratings",
    Kind.VOLUME: "look whether the day came whole, and once",
    Kind.QUIET: "look whether nobody rated on that day",
    Kind.REPEATED: "look whether another day's ratings came again",
    Kind.REJECTED: "look at the day's rejected lines",
    Kind.REQUESTS: "look whether clients send what the model was trained on",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure of the data and its bounds."""

    kind: Kind
    feature: str  # "" where it is of whole rows
    where: str  # a split, or a day
    what: str  # in words
    figure: float
    low: float | None = None  # the least that is let pass; None for no bound
    high: float | None = None  # the most
    severity: Severity

    @property
    def passed(self) -> bool:
        """Whether the figure keeps its bounds; no number does not."""
        low = self.low is None or self.figure >= self.low
        return low and (self.high is None or self.figure <= self.high)

    @property
    def figure_text(self) -> str:
        """The figure as people read it."""
        return self._shown(self.figure)

    @property
    def allowed_text(self) -> str:
        """The bounds as people read them."""
        if self.low is None:
            return f"at most {self._shown(self.high)}"
        if self.high is None:
            return f"at least {self._shown(self.low)}"
        return f"{self._shown(self.low)} to {self._shown(self.high)}"

    @property
    def text(self) -> str:
        """The measurement in a line."""
        feature = f"`{self.feature}`: " if self.feature else ""
        return f"{self.where}: {feature}{self.what} is {self.figure_text}, {self.allowed_text} allowed"

    def _shown(self, value: float | None) -> str:
        if self.kind in _SHARES:
            return f"{value:.1%}"
        return f"{value:,.0f}" if self.kind is Kind.QUIET else f"{value:.4g}"


def advice(measurements: list[Measurement]) -> str:
    """Return what to do about findings."""
    kinds = dict.fromkeys(measurement.kind for measurement in measurements)
    return "; ".join(_ADVICE[kind] for kind in kinds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """All that DataGate measured."""

    splits: list[str]  # whose anomalies were looked for; there are none
    baseline: str  # what was compared with, in words
    days: list[str] = dataclasses.field(default_factory=list)  # that were judged by themselves
    measurements: list[Measurement] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)  # what was not judged, and why

    @property
    def findings(self) -> list[Measurement]:
        """The measurements that did not pass."""
        return [measurement for measurement in self.measurements if not measurement.passed]

    @property
    def text(self) -> str:
        """The report in a few words."""
        found = len(self.findings)
        warnings = f"{found} warning{'s' if found > 1 else ''}" if found else "no findings"
        return f"no anomalies; {self.baseline}; {warnings} in {len(self.measurements)} figures"

    def to_values(self) -> dict[str, Any]:
        """Return the report as plain values, the findings by themselves too."""
        return {**dataclasses.asdict(self), "findings": [finding.text for finding in self.findings]}

    def write(self, folder: str) -> None:
        """Write the report into the folder of a data blessing."""
        io_utils.write_string_file(os.path.join(folder, REPORT_FILE), json.dumps(self.to_values(), indent=2))

    @classmethod
    def read(cls, folder: str) -> Self:
        """Read the report in the folder of a data blessing."""
        values = json.loads(io_utils.read_string_file(os.path.join(folder, REPORT_FILE)))
        del values["findings"]
        values["measurements"] = [
            Measurement(**{**m, "kind": Kind(m["kind"]), "severity": Severity(m["severity"])})
            for m in values["measurements"]
        ]
        return cls(**values)


def measured(config: DataGateConfig, kind: Kind, **fields: Any) -> Measurement:
    """Return a measurement with the severity that its kind has."""
    return Measurement(kind=kind, severity=config.severity(kind), **fields)
