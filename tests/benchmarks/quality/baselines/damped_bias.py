"""Mean, plus a damped bias of the user and of the movie, by alternating least squares.

Koren 2010, Factor in the Neighbors, section 2.1 (https://doi.org/10.1145/1644873.1644874); the damping is
that of Surprise's `BaselineOnly`.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from task import Pairs, run

from schema import features

_USER_DAMPING, _MOVIE_DAMPING = 15.0, 10.0  # ratings
_SWEEPS = 10


@dataclass(frozen=True)
class Biases:
    """The mean, and by id what is added to it; ids from 0 on."""

    mean: float
    user: np.ndarray
    movie: np.ndarray

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return ratings in stars, float64[n]; an id that was not trained on adds nothing."""
        ratings = self.mean + _look_up(self.user, questions.uid) + _look_up(self.movie, questions.mid)
        return np.clip(ratings, features.MIN_RATING, features.MAX_RATING)

    def parameters(self) -> list[np.ndarray]:
        """Return the biases."""
        return [self.user, self.movie]


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Biases:
    """Fit the biases; there is nothing random in it."""
    mean = float(ratings.mean())
    users, movies = np.bincount(pairs.uid), np.bincount(pairs.mid)
    user, movie = np.zeros(len(users)), np.zeros(len(movies))
    for _ in range(_SWEEPS):
        rest = ratings - mean - user[pairs.uid]
        movie = np.bincount(pairs.mid, rest) / (_MOVIE_DAMPING + movies)
        rest = ratings - mean - movie[pairs.mid]
        user = np.bincount(pairs.uid, rest) / (_USER_DAMPING + users)
    return Biases(mean, user, movie)


def _look_up(biases: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.append(biases, 0.0)[np.minimum(ids, len(biases))]


if __name__ == "__main__":
    run(fit)
