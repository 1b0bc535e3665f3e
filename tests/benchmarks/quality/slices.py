"""Test questions that are judged together."""

from typing import NamedTuple

import numpy as np

OVERALL = "overall"
"""The slice of all questions."""

ROWS, IDS = "rows", "ids"
"""Metrics of every slice: how many questions it has, and of how many users or movies."""


class Slice(NamedTuple):
    """Some of the n questions of a split."""

    rows: np.ndarray  # which, bool[n]
    ids: np.ndarray  # users of all, int64[n]; movies, if they are what the slice is of

    def counts(self) -> dict[str, int]:
        """Return `ROWS` and `IDS`."""
        return {ROWS: int(self.rows.sum()), IDS: len(np.unique(self.ids[self.rows]))}
