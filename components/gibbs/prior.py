"""The prior of the users' vectors, or of the movies': it learns what side features say of them."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
import scipy.linalg

_MEAN_STRENGTH = 2.0  # beta_0 of the normal-Wishart, in rows


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A draw of the prior."""

    means: np.ndarray  # float64[rows, d], of each row's vector
    precision: np.ndarray  # float64[d, d], of all rows' vectors around them


@dataclasses.dataclass(frozen=True, eq=False)
class SideFeatures:
    """What the side features of a table's rows are; the same for all chains and sweeps."""

    values: np.ndarray  # float64[rows, f]
    known: np.ndarray  # bool[rows], rows that have ratings; the others are no evidence
    seen: np.ndarray  # float64[known, f], the values of those
    gram: np.ndarray  # float64[f, f], seen' seen

    @classmethod
    def of(cls, blocks: Sequence[np.ndarray], known: np.ndarray) -> Self:
        """Return the features of blocks beside each other, float32[rows, ...] each, and of bool[rows]."""
        values = np.concatenate(blocks, axis=1, dtype=np.float64)
        seen = values[known]
        return cls(values, known, seen, seen.T @ seen)


class Prior:
    """Draws the prior's parameters given the vectors.

    Formula:
        v_i ~ N(mu + B' x_i, L^-1), mu, L ~ normal-Wishart, B_f ~ N(0, (b L)^-1), b ~ Gamma(1, 1)

    Args:
      features: of the rows, x.
      dim: d, entries of a vector.
      rng: source of the draws.

    Reference:
      Salakhutdinov and Mnih 2008, Bayesian Probabilistic Matrix Factorization using Markov Chain Monte
      Carlo, section 3, https://doi.org/10.1145/1390156.1390267; Simm et al. 2017, Macau, section 2,
      https://doi.org/10.1109/MLSP.2017.8168143.
    """

    def __init__(self, features: SideFeatures, dim: int, rng: np.random.Generator) -> None:
        self._features = features
        self._rng = rng
        self._coefficients = np.zeros((features.values.shape[1], dim))
        self._strength = 5.0  # b, until it is drawn

    def draw(self, vectors: np.ndarray) -> Drawn:
        """Return a draw given the vectors, float32[rows, d]."""
        features, seen = self._features, vectors[self._features.known].astype(np.float64)
        mean, precision = self._draw_normal_wishart(seen - features.seen @ self._coefficients)
        self._draw_coefficients(seen - mean, precision)
        return Drawn(means=mean + features.values @ self._coefficients, precision=precision)

    def _draw_normal_wishart(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw mu and L; rows are float64[n, d], the vectors less what the features say."""
        n, d = rows.shape
        center = rows.mean(axis=0) if n else np.zeros(d)
        apart = rows - center
        scale = np.eye(d) + apart.T @ apart
        scale += (_MEAN_STRENGTH * n / (_MEAN_STRENGTH + n)) * np.outer(center, center)
        scale += self._strength * self._coefficients.T @ self._coefficients
        freedom = d + n + len(self._coefficients)
        # Bartlett's decomposition of the Wishart distribution.
        bartlett = np.tril(self._rng.normal(size=(d, d)), -1)
        bartlett[np.diag_indices(d)] = np.sqrt(self._rng.chisquare(freedom - np.arange(d)))
        lower = np.linalg.cholesky(np.linalg.inv(scale)) @ bartlett
        precision = lower @ lower.T
        mean = n * center / (_MEAN_STRENGTH + n)
        return mean + self._normal(1, (_MEAN_STRENGTH + n) * precision)[0], precision

    def _draw_coefficients(self, rows: np.ndarray, precision: np.ndarray) -> None:
        """Draw B and b; rows are float64[n, d], the vectors less mu."""
        f, d = self._coefficients.shape
        if not f:
            return
        lower = np.linalg.cholesky(self._features.gram + self._strength * np.eye(f))
        expected = scipy.linalg.cho_solve((lower, True), self._features.seen.T @ rows)
        spread = scipy.linalg.solve_triangular(lower, self._normal(f, precision), lower=True, trans="T")
        self._coefficients = expected + spread
        size = np.sum((self._coefficients @ precision) * self._coefficients)
        self._strength = self._rng.gamma(1 + f * d / 2) / (1 + size / 2)

    def _normal(self, n: int, precision: np.ndarray) -> np.ndarray:
        """Draw n vectors of mean 0, float64[n, d]."""
        lower = np.linalg.cholesky(precision)
        draws = self._rng.normal(size=(len(precision), n))
        return scipy.linalg.solve_triangular(lower, draws, lower=True, trans="T").T
