"""implicit's alternating least squares (https://benfred.github.io/implicit); an order only, no rating.

Hu, Koren and Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets
(https://doi.org/10.1109/ICDM.2008.22). Factors and regularization were taken by NDCG@10 of the validation
rows; the package's own are 100 and 0.01.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from implicit.als import AlternatingLeastSquares
from rated import Rated
from task import Pairs, run

_FACTORS, _REGULARIZATION = 64, 30.0


@dataclass(frozen=True)
class Factors:
    """Who has rated what, and the factors of users and movies."""

    rated: Rated
    users: np.ndarray  # float32[users, factors]
    movies: np.ndarray  # float32[movies, factors]

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return scores, float64[n]."""
        return self.rated.scores(questions, lambda users: self.users[users] @ self.movies.T)

    def parameters(self) -> list[np.ndarray]:
        """Return the factors."""
        return [self.users, self.movies]


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Factors:
    """Fit by conjugate gradients."""
    rated = Rated.of(pairs)
    model = AlternatingLeastSquares(
        factors=_FACTORS, regularization=_REGULARIZATION, random_state=arguments.seed
    )
    model.fit(rated.matrix, show_progress=False)
    return Factors(rated, model.user_factors, model.item_factors)


if __name__ == "__main__":
    run(fit)
