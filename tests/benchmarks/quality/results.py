"""What was measured: a Parquet file for each model, split and seed, whole or not at all."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_TOLD = b"measurement"  # key of what the file says beside the predictions


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """What one model, fitted with one seed, answered to the questions of one split."""

    model: str
    split: str
    seed: int  # of training
    identity: str  # of the rows, the code and what it was told; another one is another measurement
    cost: dict[str, float]  # as `model.Cost` has it
    fitted_on: int  # rows
    machine: str  # that the seconds are of: cores and memory
    largest_difference: float | None = None  # as `model.Answers` has it
    predictions: Mapping[str, np.ndarray]  # as `model.Answers` has them, kept as float32

    def write(self, folder: Path) -> None:
        """Write it into the folder of all measurements."""
        path = _path(folder, self.split, self.model, self.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "predictions"
        }
        table = pa.table({name: values.astype(np.float32) for name, values in self.predictions.items()})
        incoming = path.with_suffix(".new")
        pq.write_table(table.replace_schema_metadata({_TOLD: json.dumps(told)}), incoming, compression="zstd")
        incoming.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read one; None where there is none or it is damaged."""
        try:
            table = pq.read_table(path)
            told = json.loads((table.schema.metadata or {})[_TOLD])
            return cls(**told, predictions={name: table[name].to_numpy() for name in table.column_names})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def find(folder: Path, split: str, model: str, seed: int, identity: str) -> Measurement | None:
    """Return this very measurement, if it was made."""
    found = Measurement.read(_path(folder, split, model, seed))
    return found if found is not None and found.identity == identity else None


def every(folder: Path) -> Iterator[Measurement]:
    """Yield all of them, one in memory at a time."""
    for path in sorted(folder.glob("*/*/seed-*.parquet")):
        if found := Measurement.read(path):
            yield found


def _path(folder: Path, split: str, model: str, seed: int) -> Path:
    return folder / split / model / f"seed-{seed}.parquet"


class Judgement(NamedTuple):
    """How good predictions are."""

    metrics: dict[str, dict[str, Any]]  # by slice
    losses: np.ndarray  # of each row of the slices, float[n], as `EvaluationProtocol.error` takes their mean


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """A measurement that was judged."""

    model: str
    split: str
    seed: int
    cost: dict[str, float]
    fitted_on: int
    machine: str
    largest_difference: float | None
    judgements: Mapping[str, Judgement]  # of its predictions, by what it was told of the moment

    @classmethod
    def of(cls, measurement: Measurement, judge: Callable[[np.ndarray], Judgement]) -> Self:
        """Return what is left of a measurement once its predictions are judged."""
        own = {field.name for field in dataclasses.fields(cls)} - {"judgements"}
        judged = {moment: judge(values) for moment, values in measurement.predictions.items()}
        return cls(**{name: getattr(measurement, name) for name in own}, judgements=judged)
