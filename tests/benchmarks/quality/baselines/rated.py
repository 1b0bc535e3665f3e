"""Who has rated what, and the scores that models of it give to pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse
from task import Pairs

_USERS = 512  # scored at a time


@dataclass(frozen=True)
class Rated:
    """The ids that were trained on, sorted, and which user rated which movie."""

    users: np.ndarray
    movies: np.ndarray
    matrix: sparse.csr_matrix  # float32[users, movies]

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Return what the training rows tell."""
        users, user = np.unique(pairs.uid, return_inverse=True)
        movies, movie = np.unique(pairs.mid, return_inverse=True)
        return cls(users, movies, sparse.csr_matrix((np.ones(len(pairs), np.float32), (user, movie))))

    def scores(self, questions: Pairs, block: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Return float64[n]; 0 for a user or a movie without training rows.

        Args:
          questions: n pairs.
          block: returns the scores of some users for all movies, [users, movies].
        """
        scores = np.zeros(len(questions))
        user, movie = (
            np.minimum(np.searchsorted(known, ids), len(known) - 1)
            for known, ids in ((self.users, questions.uid), (self.movies, questions.mid))
        )
        known = (self.users[user] == questions.uid) & (self.movies[movie] == questions.mid)
        for first in range(0, len(self.users), _USERS):
            rows = known & (user >= first) & (user < first + _USERS)
            if rows.any():
                scores[rows] = block(slice(first, first + _USERS))[user[rows] - first, movie[rows]]
        return scores
