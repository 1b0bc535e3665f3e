"""The rows that a chain is run on."""

import dataclasses
import functools
from typing import Self

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings in the order of user, time and movie, and where to find a movie's.

    Users and movies are numbered from 0, as in the vocabularies; some may have no rating here.
    """

    user: np.ndarray  # int32[n]
    movie: np.ndarray  # int32[n]
    rating: np.ndarray  # float32[n], in stars
    time: np.ndarray  # int64[n], in seconds since the epoch
    of_user: np.ndarray  # int64[users + 1], where each user's ratings begin
    by_movie: np.ndarray  # int64[n], rows in the order of the movie
    of_movie: np.ndarray  # int64[movies + 1], where each movie's begin in `by_movie`

    @classmethod
    def of(
        cls,
        *,
        user: np.ndarray,
        movie: np.ndarray,
        rating: np.ndarray,
        time: np.ndarray,
        users: int,
        movies: int,
    ) -> Self:
        """Return rows in any order as ratings; `users` and `movies` are how many there are."""
        order = np.lexsort((movie, time, user))
        user, movie = user[order].astype(np.int32), movie[order].astype(np.int32)
        by_movie = np.argsort(movie, kind="stable")
        return cls(
            user=user,
            movie=movie,
            rating=rating[order].astype(np.float32),
            time=time[order].astype(np.int64),
            of_user=np.searchsorted(user, np.arange(users + 1)),
            by_movie=by_movie,
            of_movie=np.searchsorted(movie[by_movie], np.arange(movies + 1)),
        )

    def __len__(self) -> int:
        return len(self.user)

    @functools.cached_property
    def cells(self) -> np.ndarray:
        """The first row of each user and second, int64[cells]."""
        differ = (np.diff(self.user) != 0) | (np.diff(self.time) != 0)
        return np.concatenate([[0], 1 + np.flatnonzero(differ)])

    @functools.cached_property
    def positions(self) -> np.ndarray:
        """How many ratings each row's user had given in earlier seconds, int64[n]."""
        first = np.repeat(self.cells, np.diff(self.cells, append=len(self)))
        return first - self.of_user[self.user]

    @functools.cached_property
    def raters(self) -> np.ndarray:
        """The user of each row of `by_movie`, int32[n]."""
        return self.user[self.by_movie]

    @functools.cached_property
    def mean(self) -> float:
        """The mean rating, in stars."""
        return float(self.rating.mean())

    @property
    def user_counts(self) -> np.ndarray:
        """Ratings of each user, int64[users]."""
        return np.diff(self.of_user)

    @property
    def movie_counts(self) -> np.ndarray:
        """Ratings of each movie, int64[movies]."""
        return np.diff(self.of_movie)
