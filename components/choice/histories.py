"""What users have chosen, one movie after the other."""

import dataclasses
from typing import Self

import numpy as np

_LONGEST = 4096  # movies of a history, the latest; bounds the memory of a batch


@dataclasses.dataclass(frozen=True, eq=False)
class Histories:
    """The movies of each user in the order of choice, each once.

    Users and movies are numbered from 0, as in the vocabularies; some may have nothing here.
    """

    movie: np.ndarray  # int32[n]
    paused: np.ndarray  # int32[n], 1 if the choice came after a pause, else 0
    of_user: np.ndarray  # int64[users + 1], where each user's choices begin
    last: np.ndarray  # int64[users], time of the last choice, in seconds since the epoch; 0 if there is none

    @classmethod
    def of(
        cls,
        *,
        user: np.ndarray,
        movie: np.ndarray,
        time: np.ndarray,
        users: int,
        pause_seconds: int,
        rng: np.random.Generator,
    ) -> Self:
        """Return rows in any order as histories; `users` is how many there are.

        Within a second the order is drawn: that of the rows, or of the movies' numbers, would be learned.
        """
        _, first = np.unique((user.astype(np.int64) << 32) + movie, return_index=True)  # of several, any one
        user, movie, time = user[first], movie[first], time[first].astype(np.int64)
        order = np.lexsort((rng.random(len(user)), time, user))
        user, movie, time = user[order], movie[order], time[order]
        from_end = np.searchsorted(user, user, side="right") - np.arange(len(user))
        kept = from_end <= _LONGEST
        user, movie, time = user[kept], movie[kept], time[kept]
        of_user = np.searchsorted(user, np.arange(users + 1))
        began = np.diff(user, prepend=-1) != 0
        paused = ~began & (np.diff(time, prepend=time[:1]) > pause_seconds)
        last = np.zeros(users, np.int64)
        some = np.diff(of_user) > 0
        last[some] = time[of_user[1:][some] - 1]
        return cls(movie.astype(np.int32), paused.astype(np.int32), of_user, last)

    @property
    def counts(self) -> np.ndarray:
        """Choices of each user, int64[users]."""
        return np.diff(self.of_user)

    def padded(self, users: np.ndarray) -> np.ndarray:
        """Return the movies of some users, int32[b, longest], -1 after the last."""
        movies = np.full((len(users), int(self.counts[users].max(initial=1))), -1, np.int32)
        for row, user in enumerate(users):
            own = self.movie[self.of_user[user] : self.of_user[user + 1]]
            movies[row, : len(own)] = own
        return movies
