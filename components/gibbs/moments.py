"""What the moments of the ratings say of the drift, whatever the stars."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from components.deepfm.user_drift import SECONDS_PER_DAY
from components.gibbs.ratings import Ratings


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """The steps of an Ornstein-Uhlenbeck process, from each row to the next of the same user."""

    decays: np.ndarray  # float64[n], what is left of the level at the row before; 0 at each user's first row
    moving: np.ndarray  # bool[n], the rows that are not at the same time as the one before
    variances: np.ndarray  # float64[moving], of what is new at those, in parts of the process's variance

    @classmethod
    def of(cls, gaps: np.ndarray, seconds: float) -> Self:
        """Return the steps after gaps of float64[n], in seconds, by a process's time constant."""
        decays = np.exp(-gaps / seconds)
        new = 1.0 - decays**2
        moving = new > 1e-9
        return cls(decays, moving, new[moving])


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """When the ratings were given, as the drift sees it; the same for all chains and sweeps."""

    ratings: Ratings
    seconds: Sequence[float]  # time constants of the processes
    steps: Sequence[Steps]  # of each process
    tenure: np.ndarray  # float64[n], log(1 + days since the user's first rating)
    stage: np.ndarray  # int64[n], by `stage_of`
    stage_shares: np.ndarray  # float64[stages], of the rows

    @classmethod
    def of(cls, ratings: Ratings, seconds: Sequence[float]) -> Self:
        """Return those of some rows."""
        first = np.zeros(len(ratings), bool)  # each user's first row
        first[ratings.of_user[:-1][ratings.user_counts > 0]] = True
        gaps = np.where(first, np.inf, np.diff(ratings.time, prepend=0))
        since = np.repeat(ratings.time[first], ratings.user_counts[ratings.user_counts > 0])
        stage = stage_of(ratings.positions)
        return cls(
            ratings=ratings,
            seconds=seconds,
            steps=[Steps.of(gaps, constant) for constant in seconds],
            tenure=np.log1p((ratings.time - since) / SECONDS_PER_DAY),
            stage=stage,
            stage_shares=np.bincount(stage) / len(ratings),
        )


def stage_of(positions: np.ndarray) -> np.ndarray:
    """Return the stage of a user who has given so many ratings, int64: two for each doubling."""
    return (2 * np.log2(1 + positions)).astype(np.int64)
