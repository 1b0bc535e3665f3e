"""How far the best model is ahead of the others, and what other users would change in that."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from schema import features
from tests.benchmarks.quality import rating_metrics, splits
from tests.benchmarks.quality.results import Result

_DRAWS = 1000
_SHARE = 0.95


@dataclasses.dataclass(frozen=True)
class Lead:
    """By how much the RMSE of one model is above that of another, in stars."""

    stars: float
    low: float  # of the interval that holds 95% of what other users would make of it
    high: float

    def __str__(self) -> str:
        return f"{self.stars:.4f} ({self.low:.4f} to {self.high:.4f})"


Leads = dict[str, dict[str, Lead | None]]
"""Of the best model of a split on each other one, by slice; None where a slice has no row."""


def of_split(rows: Path, models: Mapping[str, list[Result]]) -> Leads:
    """Return the leads of a split.

    Args:
      rows: folder of the split.
      models: the results of all seeds by model, the best model first; not of a ranking.
    """
    wanted = pq.read_table(rows / splits.ANSWERS)
    users = pq.read_table(rows / splits.QUESTIONS)[features.UID.name].to_numpy()
    errors = {
        name: np.mean([result.squared_errors for result in results], axis=0, dtype=np.float64)
        for name, results in models.items()
    }
    slices = {rating_metrics.OVERALL: np.ones(len(users), bool), **rating_metrics.cold(wanted)}
    by_slice = {part: leads(errors, users, where) for part, where in slices.items()}
    _, *others = errors
    return {name: {part: found.get(name) for part, found in by_slice.items()} for name in others}


def leads(errors: Mapping[str, np.ndarray], users: np.ndarray, rows: np.ndarray) -> dict[str, Lead]:
    """Return the lead of the first model on each other one; none where there is no row.

    The interval is that of a bootstrap that draws users with all their rows (Efron and Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 13), the same for all models.

    Args:
      errors: squared errors of each model, the mean over its seeds, float[n], in square stars.
      users: of each row, int64[n].
      rows: which count, bool[n].
    """
    _, user = np.unique(users[rows], return_inverse=True)
    if not len(user):
        return {}
    counts = np.bincount(user)
    draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _DRAWS)
    weights = np.concatenate([np.ones((1, len(counts))), draws])  # the first is of the users as they are
    total = weights @ counts
    rmse = {
        name: np.sqrt(weights @ np.bincount(user, values[rows]) / total) for name, values in errors.items()
    }
    (_, best), *others = rmse.items()
    found = {}
    for name, values in others:
        low, high = np.quantile(values[1:] - best[1:], [(1 - _SHARE) / 2, (1 + _SHARE) / 2])
        found[name] = Lead(float(values[0] - best[0]), float(low), float(high))
    return found
