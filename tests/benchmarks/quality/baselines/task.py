"""What each baseline does: read rows, fit, answer the questions, say what it cost.

    python BASELINE.py TRAIN VALID QUESTIONS USERS SEED PREDICTIONS COST [OPTIONS]

It is fitted on training and validation rows together. The predictions are written as a NumPy file,
float64[questions]; the cost as JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schema import features


@dataclass(frozen=True)
class Pairs:
    """Users, movies and seconds since 1970, int64[n] each."""

    uid: np.ndarray
    mid: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.uid)


class Fitted(Protocol):
    """A model that was fitted."""

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return ratings in stars, or whatever gives an order, float64[n]."""

    def parameters(self) -> Iterable[np.ndarray]:
        """Return what a prediction is made from."""


Fit = Callable[[Pairs, np.ndarray, argparse.Namespace], Fitted]


def run(fit: Fit, options: Callable[[argparse.ArgumentParser], None] = lambda parser: None) -> None:
    """Do the task by a `fit` that gets pairs, their ratings and the arguments, `seed` and `users` among them.

    `users` is the file users.dat of the dataset.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("users", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("cost", type=Path)
    options(parser)
    arguments = parser.parse_args()
    rows = pa.concat_tables([pq.read_table(path) for path in (arguments.train, arguments.valid)])
    ratings = rows[features.RATING.name].to_numpy()
    pairs, asked = _pairs(rows), _pairs(pq.read_table(arguments.questions))

    start = time.perf_counter()
    fitted = fit(pairs, ratings, arguments)
    train_seconds = time.perf_counter() - start
    start = time.perf_counter()
    predictions = fitted.predict(asked)
    predict_ms = 1e6 * (time.perf_counter() - start) / len(asked)

    np.save(arguments.predictions, predictions.astype(np.float64))
    cost = {
        "train_seconds": train_seconds,
        "model_bytes": sum(array.nbytes for array in fitted.parameters()),
        "predict_ms": predict_ms,
    }
    arguments.cost.write_text(json.dumps(cost), encoding="utf-8")


def _pairs(table: pa.Table) -> Pairs:
    return Pairs(*(table[f.name].to_numpy() for f in (features.UID, features.MID, features.TIMESTAMP)))
