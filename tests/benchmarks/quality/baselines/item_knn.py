"""implicit's item-kNN (https://benfred.github.io/implicit) by TF-IDF; an order only, no rating.

Its neighbours are those of the package by default. TF-IDF was taken as the best with these of the three
similarities that the package has, by NDCG@10 of the validation rows.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from implicit.nearest_neighbours import TFIDFRecommender
from rated import Rated
from scipy import sparse
from task import Pairs, run

_NEIGHBOURS = 20


@dataclass(frozen=True)
class Neighbours:
    """Who has rated what, and how like another a movie is."""

    rated: Rated
    similarity: sparse.csr_matrix  # [movies, movies]

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return scores, float64[n]."""
        return self.rated.scores(
            questions, lambda users: (self.rated.matrix[users] @ self.similarity).toarray()
        )

    def parameters(self) -> list[np.ndarray]:
        """Return the similarities that are kept, and where they stand."""
        return [self.similarity.data, self.similarity.indices, self.similarity.indptr]


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Neighbours:
    """Find the neighbours of each movie; there is nothing random in it."""
    rated = Rated.of(pairs)
    model = TFIDFRecommender(K=_NEIGHBOURS)
    model.fit(rated.matrix, show_progress=False)
    return Neighbours(rated, model.similarity)


if __name__ == "__main__":
    run(fit)
