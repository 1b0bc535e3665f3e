"""Several chains side by side, whose vectors stand beside each other in those of the model."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from components.gibbs.moments import Moments
from components.gibbs.ratings import Ratings
from components.gibbs.sampler import Chain


@dataclasses.dataclass(frozen=True, eq=False)
class Chains:
    """Independent chains over the same ratings.

    Formula:
        p = [p_1 ... p_C] / sqrt(C), q = [q_1 ... q_C] / sqrt(C), so that <p, q> is the mean of the
        <p_c, q_c>; the bias, the last dimension, is the mean of the biases

    A chain stays near one of the many solutions that explain the ratings about as well. Chains that began
    elsewhere err elsewhere, and the mean of what they say errs less than each of them.
    """

    each: Sequence[Chain]

    @property
    def ratings(self) -> Ratings:
        """The rows."""
        return self.each[0].ratings

    @property
    def moments(self) -> Moments:
        """The rows' moments."""
        return self.each[0].moments

    def sweep(self) -> None:
        """Draw everything once, in each chain."""
        for chain in self.each:
            chain.sweep()

    @property
    def user_means(self) -> np.ndarray:
        """The current draws' means given all else, of the users' vectors, float32[users, C k + 1]."""
        return _joined([chain.users.mean for chain in self.each])

    @property
    def movie_means(self) -> np.ndarray:
        """The same of the movies', float32[movies, C k + 1]."""
        return _joined([chain.movies.mean for chain in self.each])

    @property
    def movie_samples(self) -> np.ndarray:
        """The current draws of the movies' vectors, float32[movies, C k + 1]."""
        return _joined([chain.movies.sample for chain in self.each])

    @property
    def levels(self) -> np.ndarray:
        """The mean levels of the drift's processes, given all else, float64[processes, cells]."""
        levels = np.zeros((len(self.moments.steps), len(self.ratings.cells)))
        for chain in self.each:
            levels += chain.drift.means[:, self.ratings.cells]
        return levels / len(self.each)

    @property
    def slope(self) -> float:
        """The mean slope of the drift, given all else."""
        return float(np.mean([chain.drift.slope_mean for chain in self.each]))

    @property
    def stages(self) -> np.ndarray:
        """The mean of what the drift's stages add, given all else, float64[stages]."""
        return np.mean([chain.drift.stage_means for chain in self.each], axis=0)

    @property
    def residuals(self) -> np.ndarray:
        """What the current draws leave unsaid, float32[C, n], in stars."""
        return np.stack([chain.residuals for chain in self.each])


def parted(vectors: np.ndarray, chains: int) -> list[np.ndarray]:
    """Return the vectors of each chain, float32[rows, k + 1], of those of a model, float32[rows, C k + 1]."""
    factors = np.split(vectors[:, :-1] * np.float32(chains**0.5), chains, axis=1)
    return [np.concatenate([own, vectors[:, -1:]], axis=1) for own in factors]


def _joined(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the vectors of a model of those of each chain."""
    scale = np.float32(len(vectors) ** -0.5)
    biases = np.mean([own[:, -1:] for own in vectors], axis=0, dtype=np.float32)
    return np.concatenate([*(scale * own[:, :-1] for own in vectors), biases], axis=1)
