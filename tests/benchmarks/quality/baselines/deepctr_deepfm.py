"""DeepCTR's DeepFM on TensorFlow (https://deepctr-doc.readthedocs.io), as in its example for MovieLens.

The fields are those of `run_regression_movielens.py`: the movie, the user, and the user's gender, age,
occupation and zip; loss, optimizer and batches are the example's too. The size of embeddings and the number
of epochs were taken by the RMSE of the validation rows; the example has 4 and 10.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf
from deepctr.feature_column import SparseFeat
from deepctr.models import DeepFM
from task import Pairs, run

from schema import features

_EMBEDDING = 16
_EPOCHS = 6
_BATCH = 256  # rows
_ASKED = 8192  # rows at a time


@dataclass(frozen=True)
class Machine:
    """A fitted network, and what turns pairs into its input."""

    network: tf.keras.Model
    users: pd.DataFrame  # by id: what is known of a user, text
    values: dict[
        str, np.ndarray
    ]  # of each field, sorted; what is not among them has the index after the last

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return ratings in stars, float64[n]."""
        inputs = _inputs(_fields(questions, self.users), self.values)
        ratings = self.network.predict(inputs, batch_size=_ASKED, verbose=0)[:, 0]
        return np.clip(ratings.astype(np.float64), features.MIN_RATING, features.MAX_RATING)

    def parameters(self) -> list[np.ndarray]:
        """Return the weights."""
        return self.network.get_weights()


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Machine:
    """Fit by Adam on the squared error."""
    tf.keras.utils.set_random_seed(arguments.seed)
    users = pd.read_csv(
        arguments.users, sep="::", engine="python", header=None, index_col=0, dtype=str, encoding="latin-1",
        names=["uid", "gender", "age", "occupation", "zip"],
    )  # fmt: skip
    users.index = users.index.astype(int)
    fields = _fields(pairs, users)
    values = {name: np.unique(column) for name, column in fields.items()}
    columns = [SparseFeat(name, len(known) + 1, embedding_dim=_EMBEDDING) for name, known in values.items()]
    network = DeepFM(columns, columns, task="regression", seed=arguments.seed)
    network.compile("adam", "mse")
    network.fit(_inputs(fields, values), ratings, batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
    return Machine(network, users, values)


def _fields(pairs: Pairs, users: pd.DataFrame) -> dict[str, np.ndarray]:
    known = users.reindex(pairs.uid).fillna("")
    return {"mid": pairs.mid, "uid": pairs.uid} | {name: known[name].to_numpy(str) for name in known}


def _inputs(fields: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the index of each value, int64[n]."""
    places = {
        name: np.minimum(np.searchsorted(known, fields[name]), len(known) - 1)
        for name, known in values.items()
    }
    return {
        name: np.where(known[places[name]] == fields[name], places[name], len(known))
        for name, known in values.items()
    }


if __name__ == "__main__":
    run(fit)
