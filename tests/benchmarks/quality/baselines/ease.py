"""EASE: a linear model of who has rated what, in closed form; an order only, no rating.

Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data (https://arxiv.org/abs/1905.03375).
"""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from task import Pairs, run

_L2 = 500.0  # the paper's, for MovieLens 20M
_USERS = 512  # scored at a time


@dataclass(frozen=True)
class Weights:
    """Who has rated what, and what a rated movie says for another."""

    users: np.ndarray
    movies: np.ndarray
    rated: sparse.csr_matrix  # [users, movies]
    weights: np.ndarray  # float64[movies, movies]

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return scores, float64[n]; 0 for a user or a movie without training rows."""
        scores = np.zeros(len(questions))
        user, movie = (
            np.minimum(np.searchsorted(known, ids), len(known) - 1)
            for known, ids in ((self.users, questions.uid), (self.movies, questions.mid))
        )
        known = (self.users[user] == questions.uid) & (self.movies[movie] == questions.mid)
        for first in range(0, len(self.users), _USERS):
            rows = known & (user >= first) & (user < first + _USERS)
            if rows.any():
                block = self.rated[first : first + _USERS] @ self.weights
                scores[rows] = block[user[rows] - first, movie[rows]]
        return scores

    def parameters(self) -> list[np.ndarray]:
        """Return the weights."""
        return [self.weights]


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Weights:
    """Invert the movies' Gram matrix."""
    users, user = np.unique(pairs.uid, return_inverse=True)
    movies, movie = np.unique(pairs.mid, return_inverse=True)
    rated = sparse.csr_matrix((np.ones(len(pairs)), (user, movie)))
    inverse = np.linalg.inv((rated.T @ rated).toarray() + _L2 * np.eye(len(movies)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return Weights(users, movies, rated, weights)


if __name__ == "__main__":
    run(fit)
