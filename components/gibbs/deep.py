"""The deep part, trained on what a chain's draws leave unsaid."""

from collections.abc import Sequence

import keras
import numpy as np

from components.deepfm.model import DEEP_NORMALIZATION, deep_part
from components.gibbs.config import GibbsConfig
from components.gibbs.sampler import Chain

_CONSTANT = 1e-8  # variance of an input below which it does not vary
_AVERAGED_SHARE = 0.25  # time constant of the weights' moving average, in parts of all sweeps


class DeepPart:
    """Trains the deep part of a model while its factorization machine is drawn.

    Given a draw of the vectors, what is left of a rating is noise that is independent of them - the
    rating has pulled the draw towards itself, but by no more than it has pulled what the draw predicts.
    So the hidden layers can see the vectors themselves, draw by draw, and learn only what the form of the
    factorization machine cannot say. From one estimate of the vectors they would learn the ratings by
    heart: their own embeddings hold them.

    Args:
      model: of the architecture `two_sided`; gets the weights.
      chains: of the model; the deep part sees the first.
      config: how to train.
      sweeps: how often `train` will be called.
      rng: source of the choice and the order of rows.
    """

    def __init__(
        self, model: keras.Model, chains: int, config: GibbsConfig, sweeps: int, rng: np.random.Generator
    ) -> None:
        self._part = deep_part(model)
        self._normalization = model.get_layer(DEEP_NORMALIZATION)
        self._chains = chains
        self._config = config
        self._sweeps = sweeps
        self._rng = rng
        self._scaled = False

    def train(self, chain: Chain) -> None:
        """Train on some rows of the first chain's current draw."""
        n = len(chain.ratings)
        rows = self._rng.permutation(n)[: max(1, round(self._config.deep_share * n))]
        size = self._config.deep_batch_size
        batches = [rows[first : first + size] for first in range(0, len(rows), size)]
        if not self._scaled:
            self._begin(chain, batches)
        for batch in batches:
            self._part.train_on_batch(inputs(chain, batch, self._chains), chain.residuals[batch])

    def finish(self) -> None:
        """Take over the moving average of the weights."""
        self._part.optimizer.finalize_variable_values(self._part.trainable_variables)

    def _begin(self, chain: Chain, batches: Sequence[np.ndarray]) -> None:
        """Scale the inputs by those of a sweep's batches, and prepare so many steps a sweep."""
        n, total, squares = 0, np.float64(0), np.float64(0)
        for batch in batches:
            values = inputs(chain, batch, self._chains).astype(np.float64)
            n, total, squares = n + len(batch), total + values.sum(axis=0), squares + (values**2).sum(axis=0)
        means = total / n
        variances = squares / n - means**2
        self._normalization.moving_mean.assign(means)
        # Of one movie only, or one user, all rows have the same vector in this draw, but not in the next.
        self._normalization.moving_variance.assign(np.where(variances > _CONSTANT, variances, 1.0))
        averaged = max(1.0, _AVERAGED_SHARE * self._sweeps * len(batches))
        self._part.compile(
            keras.optimizers.Adam(
                self._config.deep_learning_rate, use_ema=True, ema_momentum=1 - 1 / averaged
            ),
            "mse",
        )
        self._scaled = True


def inputs(chain: Chain, rows: np.ndarray, chains: int) -> np.ndarray:
    """Return the deep part's inputs for some rows of the current draw of one of the chains.

    They are float32[n, 2 k + 3], k the dimensions of one chain: the vectors scaled as in the model, the
    biases, the second-order term.
    """
    users = chain.users.sample[chain.ratings.user[rows]]
    movies = chain.movies.sample[chain.ratings.movie[rows]]
    second_order = np.einsum("ij,ij->i", users[:, :-1], movies[:, :-1])[:, np.newaxis]
    scale = np.float32(chains**-0.5)
    return np.concatenate(
        [scale * users[:, :-1], scale * movies[:, :-1], users[:, -1:], movies[:, -1:], second_order], axis=1
    )
