"""The fit of a model: a burn-in on the training rows, then the sweeps whose mean it gets."""

import contextlib
import gc
from collections.abc import Callable, Iterable

import keras
import numpy as np
import threadpoolctl

from components.deepfm.config import DeepFMConfig
from components.deepfm.model import COMBINATION, USER_DRIFT, build_model
from components.gibbs.chains import Chains, parted
from components.gibbs.config import GibbsConfig
from components.gibbs.deep import DeepPart
from components.gibbs.examples import Examples
from components.gibbs.implicit import implicit_embeddings
from components.gibbs.means import Means, assign_drift, place_drift
from components.gibbs.moments import Moments
from components.gibbs.prior import SideFeatures
from components.gibbs.ratings import Ratings
from components.gibbs.rmse import rmse
from components.gibbs.sampler import Chain, first_vectors
from components.gibbs.watch import Watch

Progress = Callable[[float, str], None]
"""Is told the share of the work that is done, and a few words on it."""


def new_model(examples: Examples, ratings: Ratings, config: DeepFMConfig, seed: int) -> keras.Model:
    """Build a model for `fit`.

    Args:
      examples: sizes of the fields.
      ratings: that it will be fitted to.
      config: the architecture `two_sided`.
      seed: of initial weights, dropout and everything else that Keras draws.
    """
    keras.utils.set_random_seed(seed)
    return build_model(
        config,
        examples.transformed.categorical,
        examples.transformed.numeric,
        rating_mean=ratings.mean,
        seed=seed,
        drift_cells=1 + len(ratings.cells),
    )


# The kernels have their own threads, which those of BLAS would make wait; and its sums would depend on the
# number of cores.
@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")
def fit(
    model: keras.Model,
    examples: Examples,
    ratings: Ratings,
    model_config: DeepFMConfig,
    config: GibbsConfig,
    *,
    warm: bool,
    folder: str,
    report: Progress,
) -> None:
    """Sample, and give a model the mean of the samples.

    Args:
      model: of `new_model` for the same ratings.
      examples: the training rows of the burn-in, and the validation rows that it is watched on.
      ratings: what the sweeps after the burn-in are run on.
      model_config: of the model.
      config: how to sample.
      warm: begin with the vectors that the model has.
      folder: of the history and the TensorBoard logs of the burn-in.
      report: is told of each sweep.
    """
    rng = np.random.default_rng(config.seed)
    users, movies = examples.users, examples.movies
    count = model_config.chains
    k = model_config.embedding_dim // count
    starts = [
        parted(side.vectors(model), count)
        if warm
        else [first_vectors(len(side.design), k, rng) for _ in range(count)]
        for side in (users, movies)
    ]
    burn_in = config.warm_burn_in if warm else config.burn_in
    steps = burn_in + config.settling + config.sweeps

    def chains_of(rows: Ratings, vectors: Iterable[Iterable[np.ndarray]]) -> Chains:
        implicit = implicit_embeddings(rows, config.implicit_rank, config.history_shrinkage)
        user_features = SideFeatures.of([implicit[0], users.design], rows.user_counts > 0)
        movie_features = SideFeatures.of([implicit[1], movies.design], rows.movie_counts > 0)
        moments = Moments.of(rows, model_config.drift_seconds)
        return Chains(
            [
                Chain(
                    moments,
                    user_features=user_features,
                    movie_features=movie_features,
                    user_vectors=user_vectors,
                    movie_vectors=movie_vectors,
                    rating_mean=rows.mean,
                    rng=rng,
                )
                for user_vectors, movie_vectors in vectors
            ]
        )

    chains = chains_of(examples.ratings(examples.train), zip(*starts, strict=True))
    with contextlib.closing(Watch(examples, chains, first=burn_in // 2, folder=folder)) as watch:
        for sweep in range(burn_in):
            chains.sweep()
            found = watch.note(chains, sweep)
            report((sweep + 1) / steps, f"sweep {sweep + 1} of {steps}, burn-in: validation RMSE {found:.4f}")

    drawn = [(chain.users.sample, chain.movies.sample) for chain in chains.each]
    # The memory of two would be twice that of one. When the kernels were compiled, Numba has left the frames
    # that called them in cycles, and these hold the chains.
    del chains
    gc.collect()
    chains = chains_of(ratings, drawn)
    deep, means = DeepPart(model, count, config, config.sweeps, rng), Means()
    for sweep in range(burn_in, steps):
        chains.sweep()
        if sweep >= burn_in + config.settling:
            deep.train(chains.each[0])
            means.add(chains)
        report(
            (sweep + 1) / steps, f"sweep {sweep + 1} of {steps}: training RMSE {rmse(chains.residuals):.4f}"
        )
    deep.finish()
    model.get_layer(COMBINATION).w_0.assign(ratings.mean)  # a warm start has that of other rows
    users.assign(model, means.users, ratings.user_counts > 0)
    movies.assign(model, means.movies, ratings.movie_counts > 0)
    place_drift(model.get_layer(USER_DRIFT), ratings)
    assign_drift(model.get_layer(USER_DRIFT), chains.moments, means.levels, means.slope, means.stages)
