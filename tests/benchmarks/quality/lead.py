"""How far the best model is ahead of the others, and what other users would change in that."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from tests.benchmarks.quality.model import NO_MOMENT, SECOND
from tests.benchmarks.quality.results import Result
from tests.benchmarks.quality.slices import OVERALL, Slice

OVERALL_NO_MOMENT = f"{OVERALL}, no moment"

_DRAWS = 1000
_SHARE = 0.95


@dataclasses.dataclass(frozen=True)
class Lead:
    """By how much one model is better than another."""

    by: float
    low: float  # of the interval that holds 95% of what other users would make of it
    high: float

    def __str__(self) -> str:
        # Adding 0.0 makes of "-0.0000" a "0.0000".
        by, low, high = (f"{round(value, 4) + 0.0:.4f}" for value in dataclasses.astuple(self))
        return f"{by} ({low} to {high})"


Leads = dict[str, dict[str, Lead | None]]
"""Of the best model of a split on each other one, by slice; None where a slice has no row."""


def of_split(
    slices: Mapping[str, Slice],
    models: Mapping[str, list[Result]],
    error: Callable[[np.ndarray], np.ndarray],
) -> Leads:
    """Return the leads of a split.

    `OVERALL_NO_MOMENT` is there if the best model takes a moment: it is asked without one, and so is each
    other one that takes one to the second.

    Args:
      slices: by name.
      models: the results of all seeds by model, the best model first.
      error: of a model, by its mean loss; the lower, the better.
    """
    told, untold = (
        {name: _losses(results, moment) for name, results in models.items()} for moment in (SECOND, NO_MOMENT)
    )
    by_slice = {name: leads(told, part, error) for name, part in slices.items()}
    best, *others = models
    if NO_MOMENT in models[best][0].judgements:
        by_slice[OVERALL_NO_MOMENT] = leads(untold, slices[OVERALL], error)
    return {name: {part: found.get(name) for part, found in by_slice.items()} for name in others}


def _losses(results: list[Result], moment: str) -> np.ndarray:
    """Return the mean over the seeds, float[n]; of a model that knows no other moment, the usual one."""
    judged = [result.judgements.get(moment, result.judgements[SECOND]) for result in results]
    return np.mean([judgement.losses for judgement in judged], axis=0, dtype=np.float64)


def leads(
    losses: Mapping[str, np.ndarray], part: Slice, error: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Lead]:
    """Return the lead of the first model on each other one; none where there is no row.

    The interval is that of a bootstrap that draws users, or the movies of a slice of movies, with all their
    rows (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13), the same for all models.

    Args:
      losses: of each model, the mean over its seeds, float[n].
      part: of the n rows.
      error: of a model, by its mean loss.
    """
    _, drawn = np.unique(part.ids[part.rows], return_inverse=True)
    if not len(drawn):
        return {}
    counts = np.bincount(drawn)
    draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _DRAWS)
    weights = np.concatenate([np.ones((1, len(counts))), draws])  # the first is of the users as they are
    total = weights @ counts
    errors = {
        name: error(weights @ np.bincount(drawn, values[part.rows]) / total)
        for name, values in losses.items()
    }
    (_, best), *others = errors.items()
    found = {}
    for name, values in others:
        low, high = np.quantile(values[1:] - best[1:], [(1 - _SHARE) / 2, (1 + _SHARE) / 2])
        found[name] = Lead(float(values[0] - best[0]), float(low), float(high))
    return found
