"""What is measured of one model: a JSON file for each model, split and seed, whole or not at all."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from serving import versions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One model on one split with one seed."""

    model: str
    split: str
    seed: int  # of training
    identity: str  # of the rows, the code and what it was told; another one is another measurement
    metrics: dict[str, dict[str, Any]]  # as `metrics.by_slice` returns them
    cost: dict[str, float]  # as `model.Cost` has it
    fitted_on: int  # training and validation rows
    machine: str  # that the seconds are of: cores and memory
    largest_difference: float | None = None  # as `model.Answers` has it

    def write(self, folder: Path) -> None:
        """Write the result into the folder of all results."""
        path = _path(folder, self.split, self.model, self.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        versions.replace(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a result; None where there is none or it is damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def find(folder: Path, split: str, model: str, seed: int, identity: str) -> Result | None:
    """Return the result of this very measurement, if it was made."""
    result = Result.read(_path(folder, split, model, seed))
    return result if result is not None and result.identity == identity else None


def every(folder: Path) -> Iterator[Result]:
    """Yield all results."""
    for path in sorted(folder.glob("*/*/seed-*.json")):
        if result := Result.read(path):
            yield result


def _path(folder: Path, split: str, model: str, seed: int) -> Path:
    return folder / split / model / f"seed-{seed}.json"
