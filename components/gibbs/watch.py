"""The history of a burn-in: what the chains say of the validation rows."""

import csv
import os

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from components.deepfm.user_drift import UserDrift
from components.gibbs.chains import Chains
from components.gibbs.examples import Examples
from components.gibbs.means import assign_drift, place_drift, predict
from components.gibbs.rmse import rmse
from components.trainer.history import HISTORY_FILE, SWEEP, TRAIN_RMSE, VALIDATION_MAE, VALIDATION_RMSE
from schema import features

_MEASURES = (TRAIN_RMSE, VALIDATION_RMSE, VALIDATION_MAE)


class Watch:
    """Asks for the validation rows during the burn-in, by the mean of its second part; writes the history.

    Args:
      examples: hold the validation rows.
      chains: that are watched.
      first: sweep, from 0 on, that the mean begins with.
      folder: of the history and the TensorBoard logs.
    """

    def __init__(self, examples: Examples, chains: Chains, *, first: int, folder: str) -> None:
        self._users, self._movies = examples.users, examples.movies
        valid = examples.valid
        self._user, self._movie = self._users.entries(valid), self._movies.entries(valid)
        self._index, self._time = valid[self._users.identity.index_name], valid[features.TIMESTAMP.name]
        self._rating = valid[features.LABEL.name]
        self._drift = UserDrift(
            self._users.identity.rows, 1 + len(chains.ratings.cells), chains.moments.seconds
        )
        self._drift.build([(None,), (None,)])
        place_drift(self._drift, chains.ratings)
        self._first = first
        self._sum = np.zeros(len(self._rating))
        self._history = fileio.open(os.path.join(folder, HISTORY_FILE), "w")
        self._rows = csv.writer(self._history)
        self._rows.writerow([SWEEP, *_MEASURES])
        self._board = tf.summary.create_file_writer(folder)

    def note(self, chains: Chains, sweep: int) -> float:
        """Write a line about a sweep, from 0 on; return the validation RMSE, in stars."""
        ratings = chains.ratings
        assign_drift(self._drift, chains.moments, chains.levels, chains.slope, chains.stages)
        said: np.ndarray = ratings.mean + predict(
            self._users.completed(chains.user_means, ratings.user_counts > 0),
            self._movies.completed(chains.movie_samples, ratings.movie_counts > 0),
            self._user,
            self._movie,
            self._drift([self._index, self._time]),
        )
        said = np.clip(said, features.MIN_RATING, features.MAX_RATING)
        if sweep >= self._first:
            self._sum += said
            said = self._sum / (sweep + 1 - self._first)
        found = (
            rmse(chains.residuals),
            rmse(said - self._rating),
            float(np.abs(said - self._rating).mean()),
        )
        self._rows.writerow([sweep, *found])
        with self._board.as_default():
            for name, value in zip(_MEASURES, found, strict=True):
                tf.summary.scalar(f"sweep_{name}", value, sweep)
        return found[1]

    def close(self) -> None:
        """Close the files."""
        self._history.close()
        self._board.close()
