"""A small world of which all is known."""

import dataclasses

import numpy as np
import pytest

from components.gibbs.ratings import Ratings

USERS, MOVIES, RATINGS = 60, 40, 1500
NOISE = 0.3  # stars


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """Ratings in no order, and what each would be without noise."""

    user: np.ndarray
    movie: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    truth: np.ndarray

    def ratings(self, rows=slice(None)):
        return Ratings.of(
            user=self.user[rows],
            movie=self.movie[rows],
            rating=self.rating[rows],
            time=self.time[rows],
            users=USERS,
            movies=MOVIES,
        )


@pytest.fixture(scope="session")
def world():
    rng = np.random.default_rng(7)
    pairs = rng.permutation(USERS * MOVIES)[:RATINGS]
    user, movie = pairs // MOVIES, pairs % MOVIES
    taste, kind = rng.normal(size=(USERS, 2)), rng.normal(size=(MOVIES, 2))
    truth = (
        3.5
        + 0.4 * rng.normal(size=USERS)[user]
        + 0.4 * rng.normal(size=MOVIES)[movie]
        + 0.4 * np.sum(taste[user] * kind[movie], axis=1)
    )
    return World(
        user=user,
        movie=movie,
        rating=truth + NOISE * rng.normal(size=RATINGS),
        time=978_300_000 + rng.integers(0, 10_000_000, RATINGS),
        truth=truth,
    )
