"""Surprise's SVD and SVD++ (https://surpriselib.com) with their default parameters."""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from surprise import SVD, Dataset, Reader, SVDpp
from task import Pairs, run

from schema import features

_ALGORITHMS = {"svd": SVD, "svd++": SVDpp}


@dataclass(frozen=True)
class Factors:
    """A fitted algorithm."""

    algorithm: SVD | SVDpp

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return ratings in stars, float64[n]."""
        pairs = zip(questions.uid.tolist(), questions.mid.tolist(), strict=True)
        return np.array([self.algorithm.predict(uid, mid).est for uid, mid in pairs])

    def parameters(self) -> list[np.ndarray]:
        """Return biases and factors."""
        names = ("bu", "bi", "pu", "qi", "yj")
        return [getattr(self.algorithm, name) for name in names if hasattr(self.algorithm, name)]


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Factors:
    """Fit by stochastic gradient descent."""
    frame = pd.DataFrame({"uid": pairs.uid, "mid": pairs.mid, "rating": ratings})
    reader = Reader(rating_scale=(features.MIN_RATING, features.MAX_RATING))
    train = Dataset.load_from_df(frame, reader).build_full_trainset()
    return Factors(_ALGORITHMS[arguments.algorithm](random_state=arguments.seed).fit(train))


if __name__ == "__main__":
    run(fit, lambda parser: parser.add_argument("--algorithm", choices=_ALGORITHMS, required=True))
