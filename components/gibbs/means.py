"""The mean of the chains, and what is served of it."""

import keras
import numpy as np

from components.deepfm.user_drift import KEY_OF_USER, NEVER, UserDrift
from components.gibbs.chains import Chains
from components.gibbs.moments import Moments
from components.gibbs.ratings import Ratings


class Means:
    """Averages the chains' vectors and drift.

    Of each draw it takes the mean given all else, which varies less than the draw and has the same mean.
    The averaged vectors of a chain stand for the average of its predictions: a chain that explains hundreds
    of thousands of ratings does not leave the neighbourhood of one solution, so its vectors do not turn.
    """

    def __init__(self) -> None:
        self._sums: list[np.ndarray] = []
        self._count = 0

    def add(self, chains: Chains) -> None:
        """Take the current draws in."""
        values = (chains.user_means, chains.movie_means, chains.levels, np.array(chains.slope), chains.stages)
        self._sums = self._sums or [np.zeros(value.shape) for value in values]
        for total, value in zip(self._sums, values, strict=True):
            np.add(total, value, out=total)
        self._count += 1

    @property
    def users(self) -> np.ndarray:
        """Mean vectors, float32[users, C k + 1]."""
        return self._mean(0)

    @property
    def movies(self) -> np.ndarray:
        """Mean vectors, float32[movies, C k + 1]."""
        return self._mean(1)

    @property
    def levels(self) -> np.ndarray:
        """Mean levels of the drift's processes, float32[processes, cells]."""
        return self._mean(2)

    @property
    def slope(self) -> float:
        """Mean slope of the drift."""
        return float(self._mean(3))

    @property
    def stages(self) -> np.ndarray:
        """Mean of what the drift's stages add, float32[stages]."""
        return self._mean(4)

    def _mean(self, which: int) -> np.ndarray:
        return (self._sums[which] / self._count).astype(np.float32)


def place_drift(layer: UserDrift, ratings: Ratings) -> None:
    """Tell a layer, built with a cell more than `ratings.cells`, who has rated when.

    The index of a user is its number and 1.
    """
    cells = ratings.cells
    keys = (ratings.user[cells].astype(np.int64) + 1) * KEY_OF_USER + ratings.time[cells]
    layer.keys.assign(np.concatenate([layer.keys.numpy()[:1], keys]))
    since = np.full(layer.rows, NEVER)
    rated = np.flatnonzero(ratings.user_counts)
    since[1 + rated] = ratings.time[ratings.of_user[rated]]
    layer.since.assign(since)
    layer.latest.assign(ratings.time.max())


def assign_drift(
    layer: UserDrift, moments: Moments, levels: np.ndarray, slope: float, stages: np.ndarray
) -> None:
    """Give a layer, placed at the same ratings, the drift that was found.

    Args:
      layer: gets the weights.
      moments: of the ratings.
      levels: float32[processes, cells], of the processes.
      slope: of the tenure.
      stages: float[stages], what they add.
    """
    layer.levels.assign(np.concatenate([np.zeros((1, len(levels))), levels.T]))
    layer.slope.assign(slope)
    layer.stages.assign(np.append(0, stages[moments.stage[moments.ratings.cells]]))


def predict(
    users: np.ndarray, movies: np.ndarray, user: np.ndarray, movie: np.ndarray, drift: keras.KerasTensor
) -> np.ndarray:
    """Return <p, q> + b_u + b_i + drift of each row, float64[n], less the mean rating."""
    said = np.einsum("ij,ij->i", users[user, :-1], movies[movie, :-1], dtype=np.float64)
    return said + users[user, -1] + movies[movie, -1] + np.asarray(drift).ravel()
