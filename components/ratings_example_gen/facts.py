"""What the ratings of one file are like, which of a folder of days is a day: sums that add up over parts.

They are of the accepted rows, those included that a later span replaced: what came in on a day does not
change with what comes in later.
"""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa

from schema import features


@dataclasses.dataclass
class RatingFacts:
    """Facts of a file, or of a part of it that has all rows of its users; they add up by `+`."""

    rows: int = 0
    squared_rows: int = 0  # sum over the users of the square of their rows
    ratings: float = 0.0  # sum, in stars
    squared_ratings: float = 0.0  # sum of the squares
    replacing: int = 0  # rows whose user and movie an earlier span had too
    # Rows without a value, by raw feature.
    missing: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))

    def to_values(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return {**vars(self), "missing": dict(self.missing)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return the facts that `to_values` wrote."""
        return cls(**{**values, "missing": collections.Counter(values["missing"])})


def measure(rows: pa.Table, replacing: np.ndarray) -> RatingFacts:
    """Return the facts of accepted rows.

    Args:
      rows: all that the file has of some users, with their raw features.
      replacing: bool[rows], whether an earlier span had the user and the movie too.
    """
    ratings = rows[features.RATING.name].to_numpy()
    _, by_user = np.unique(rows[features.UID.name].to_numpy(), return_counts=True)
    missing = {f.name: n for f in features.USER_FEATURES if (n := rows[f.name].null_count)}
    return RatingFacts(
        rows=len(rows),
        squared_rows=int(np.square(by_user).sum()),
        ratings=float(ratings.sum()),
        squared_ratings=float(np.square(ratings).sum()),
        replacing=int(replacing.sum()),
        missing=collections.Counter(missing),
    )
