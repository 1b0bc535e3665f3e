"""The Gibbs chain."""

import dataclasses

import numpy as np

from components.gibbs.drift import Drift
from components.gibbs.kernels import interactions, sample_rows
from components.gibbs.moments import Moments
from components.gibbs.prior import Prior, SideFeatures

_NOISE_RATINGS = 10.0  # nu: as so many ratings counts the prior of a user's noise
_NOISE_PRECISION = 1.5  # of all users before it is drawn, per square star
_SPREAD = 0.1  # of the first vectors of a chain that begins from nothing


@dataclasses.dataclass(eq=False)
class Vectors:
    """A table of vectors; the last of the k + 1 dimensions is the bias, in stars."""

    sample: np.ndarray  # float32[rows, k + 1], the chain's current draw
    mean: np.ndarray  # float32[rows, k + 1], the draw's mean given all else
    prior: Prior
    order: np.ndarray | slice  # int64[n], the ratings in the order of the table; a slice for all as they are
    offsets: np.ndarray  # int64[rows + 1], where each row's begin in that order
    others: np.ndarray  # int32[n], the other table's row of each rating, in that order

    @property
    def biases(self) -> np.ndarray:
        """Biases of the draw, float32[rows]."""
        return self.sample[:, -1]


class Chain:
    """A Gibbs chain over a factorization machine of users and movies, drift and noise.

    Formula:
        r_ui(t) = w_0 + b_u + b_i + <p_u, q_i> + d_u(t) + e, e ~ N(0, 1 / a_u),
        with a `Prior` of [p_u, b_u] and one of [q_i, b_i], `Drift` d_u, a_u ~ Gamma(nu / 2, s) and
        s ~ Gamma(1, 1), by shape and rate

    All of a table's vectors are drawn at once given the other table, so biases and factors move together.

    Args:
      moments: of the rows.
      user_features: side features of the users.
      movie_features: of the movies.
      user_vectors: float32[users, k + 1], where the chain begins.
      movie_vectors: float32[movies, k + 1].
      rating_mean: w_0, in stars.
      rng: source of the draws.

    Reference:
      Rendle 2010, Factorization Machines, https://doi.org/10.1109/ICDM.2010.127; Salakhutdinov and Mnih
      2008, https://doi.org/10.1145/1390156.1390267.
    """

    def __init__(
        self,
        moments: Moments,
        *,
        user_features: SideFeatures,
        movie_features: SideFeatures,
        user_vectors: np.ndarray,
        movie_vectors: np.ndarray,
        rating_mean: float,
        rng: np.random.Generator,
    ) -> None:
        self.moments = moments
        self.ratings = ratings = moments.ratings
        self.rating_mean = np.float32(rating_mean)
        self._rng = rng
        self.users = Vectors(
            sample=user_vectors,
            mean=user_vectors.copy(),
            prior=Prior(user_features, user_vectors.shape[1], rng),
            order=slice(None),
            offsets=ratings.of_user,
            others=ratings.movie,
        )
        self.movies = Vectors(
            sample=movie_vectors,
            mean=movie_vectors.copy(),
            prior=Prior(movie_features, movie_vectors.shape[1], rng),
            order=ratings.by_movie,
            offsets=ratings.of_movie,
            others=ratings.raters,
        )
        self.drift = Drift(moments, rng)
        self.noise_precisions = np.full(len(ratings.user_counts), _NOISE_PRECISION, np.float32)
        self.drifts = np.zeros(len(ratings), np.float32)  # of each row, in stars
        self.residuals = np.zeros(len(ratings), np.float32)  # of the current draw, in stars

    def sweep(self) -> None:
        """Draw everything once."""
        ratings = self.ratings
        precisions = self.noise_precisions[ratings.user]
        without_drift = ratings.rating - self.rating_mean - self.drifts
        self._draw(self.movies, self.users, without_drift - self.users.biases[ratings.user], precisions)
        self._draw(self.users, self.movies, without_drift - self.movies.biases[ratings.movie], precisions)
        said = np.empty(len(ratings), np.float32)
        interactions(self.users.sample, self.movies.sample, ratings.user, ratings.movie, said)
        rest = ratings.rating - self.rating_mean - said
        self.drifts = self.drift.draw(rest, precisions)
        self.residuals = rest - self.drifts
        self._draw_noise()

    def _draw(self, table: Vectors, other: Vectors, residuals: np.ndarray, precisions: np.ndarray) -> None:
        """Draw a table given the other one; the arrays are in the order of `ratings`."""
        prior = table.prior.draw(table.sample)
        factors = other.sample.copy()
        factors[:, -1] = 1.0  # what the bias of `table` is multiplied by
        mean, sample = np.empty_like(table.sample), np.empty_like(table.sample)
        sample_rows(
            table.offsets,
            table.others,
            residuals[table.order],
            precisions[table.order],
            factors,
            prior.means,
            prior.precision,
            self._rng.normal(size=table.sample.shape),
            mean,
            sample,
        )
        table.mean, table.sample = mean, sample

    def _draw_noise(self) -> None:
        """Draw the precision of each user's noise given the residuals."""
        ratings = self.ratings
        squares = np.bincount(
            ratings.user, self.residuals.astype(np.float64) ** 2, minlength=len(ratings.user_counts)
        )
        known = self.noise_precisions[ratings.user_counts > 0]
        scale = self._rng.gamma(1 + len(known) * _NOISE_RATINGS / 2) / (1 + known.sum(dtype=np.float64))
        shape = (_NOISE_RATINGS + ratings.user_counts) / 2
        self.noise_precisions = (self._rng.gamma(shape) / (scale + squares / 2)).astype(np.float32)


def first_vectors(rows: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return vectors to begin with from nothing, float32[rows, k + 1]."""
    return (_SPREAD * rng.normal(size=(rows, k + 1))).astype(np.float32)
