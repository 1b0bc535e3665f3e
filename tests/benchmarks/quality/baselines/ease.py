"""EASE: a linear model of who has rated what, in closed form; an order only, no rating.

Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data (https://arxiv.org/abs/1905.03375).
"""

import argparse
from dataclasses import dataclass

import numpy as np
from rated import Rated
from task import Pairs, run

_L2 = 500.0  # the paper's, for MovieLens 20M


@dataclass(frozen=True)
class Weights:
    """Who has rated what, and what a rated movie says for another."""

    rated: Rated
    weights: np.ndarray  # float64[movies, movies]

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return scores, float64[n]."""
        return self.rated.scores(questions, lambda users: self.rated.matrix[users] @ self.weights)

    def parameters(self) -> list[np.ndarray]:
        """Return the weights."""
        return [self.weights]


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Weights:
    """Invert the movies' Gram matrix."""
    rated = Rated.of(pairs)
    gram = (rated.matrix.T @ rated.matrix).toarray().astype(np.float64)
    inverse = np.linalg.inv(gram + _L2 * np.eye(len(gram)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return Weights(rated, weights)


if __name__ == "__main__":
    run(fit)
