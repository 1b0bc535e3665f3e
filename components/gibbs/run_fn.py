"""The sampling that TFX's Trainer hosts."""

import csv
import os

import keras
import numpy as np
import tensorflow as tf
import threadpoolctl
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.io import fileio

from components import progress
from components.choice.order import fit_order
from components.deepfm.config import DeepFMConfig
from components.deepfm.model import USER_DRIFT, build_model
from components.deepfm.user_drift import UserDrift
from components.gibbs.config import GibbsConfig
from components.gibbs.deep import DeepPart
from components.gibbs.implicit import implicit_embeddings
from components.gibbs.means import Means, assign_drift, drift_cells, predict
from components.gibbs.ratings import Ratings
from components.gibbs.sampler import Chain, first_vectors
from components.gibbs.sides import Side
from components.trainer.batches import Batches, Columns
from components.trainer.history import HISTORY_FILE, SWEEP, TRAIN_RMSE, VALIDATION_MAE, VALIDATION_RMSE
from components.trainer.model_files import begin, write
from components.trainer.transformed import Transformed
from schema import features

_READ_ROWS = 1_000_000  # at once
_SAMPLING_SHARE = 0.8  # of the progress; the rest is the order's
_MEASURES = (TRAIN_RMSE, VALIDATION_RMSE, VALIDATION_MAE)


def run_fn(fn_args: FnArgs) -> None:
    """Sample the configured model and export the mean of the samples.

    Args:
      fn_args: from TFX. `custom_config` holds `model_config` and `train_config` as JSON, and what the
        executor says of `base_model`, with whose vectors the chain begins where they fit. The SavedModel
        goes to `serving_model_dir`, with the Keras model and what a warm start needs in its assets.extra;
        the TensorBoard logs, the history of the burn-in and the start go to `model_run_dir`.

    Raises:
      RunStoppedError: what the base model carries for a warm start is damaged.
    """
    # The kernels have their own threads, which those of BLAS would make wait; and its sums would depend on
    # the number of cores.
    with threadpoolctl.threadpool_limits(1, "blas"):
        _run(fn_args)


def _run(fn_args: FnArgs) -> None:
    model_config = DeepFMConfig.from_json(fn_args.custom_config["model_config"])
    config = GibbsConfig.from_json(fn_args.custom_config["train_config"])
    keras.utils.set_random_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    transformed = Transformed(fn_args.transform_graph_path)
    progress.report(0.0, "reading the examples")
    train, valid = (
        Batches(files, transformed.spec(model_config), batch_size=_READ_ROWS, block_rows=_READ_ROWS).columns()
        for files in (fn_args.train_files, fn_args.eval_files)
    )
    both = {name: np.concatenate([train[name], valid[name]]) for name in train}
    categorical = [field for field in transformed.categorical if field.name in model_config.categorical]
    numeric = [number for number in transformed.numeric if number.name in model_config.numeric]
    users = Side.of("user", features.UID, features.USER_FEATURES, categorical, numeric, both)
    movies = Side.of("movie", features.MID, features.MOVIE_FEATURES, categorical, numeric, both)
    ratings = _ratings(both, users, movies)
    rating_mean = float(ratings.rating.mean())
    model = build_model(
        model_config,
        transformed.categorical,
        transformed.numeric,
        rating_mean=rating_mean,
        seed=config.seed,
        drift_cells=1 + len(drift_cells(ratings)),
    )
    start = begin(model, model_config, transformed, fn_args, cold=config.cold, share=1.0)
    warm = start.version is not None
    k = model_config.embedding_dim
    vectors = tuple(
        side.vectors(model) if warm else first_vectors(len(side.design), k, rng) for side in (users, movies)
    )
    burn_in = config.warm_burn_in if warm else config.burn_in
    steps = burn_in + config.settling + config.sweeps

    def chain_of(rows: Ratings, user_vectors: np.ndarray, movie_vectors: np.ndarray) -> Chain:
        implicit = implicit_embeddings(rows, config.implicit_rank, config.history_shrinkage)
        return Chain(
            rows,
            user_features=np.concatenate([implicit[0], users.design], axis=1),
            movie_features=np.concatenate([implicit[1], movies.design], axis=1),
            user_vectors=user_vectors,
            movie_vectors=movie_vectors,
            rating_mean=rating_mean,
            drift_seconds=model_config.drift_seconds,
            rng=rng,
        )

    chain = chain_of(_ratings(train, users, movies), *vectors)
    watch = _Watch(valid, users, movies, chain, first=burn_in // 2, folder=fn_args.model_run_dir)
    for sweep in range(burn_in):
        chain.sweep()
        rmse = watch.note(chain, sweep)
        progress.report(
            _SAMPLING_SHARE * (sweep + 1) / steps,
            f"sweep {sweep + 1} of {steps}, burn-in: validation RMSE {rmse:.4f}",
        )
    watch.close()

    chain = chain_of(ratings, chain.users.sample, chain.movies.sample)
    deep, means = DeepPart(model, config, config.sweeps, rng), Means()
    for sweep in range(burn_in, steps):
        chain.sweep()
        if sweep >= burn_in + config.settling:
            deep.train(chain)
            means.add(chain)
        progress.report(
            _SAMPLING_SHARE * (sweep + 1) / steps,
            f"sweep {sweep + 1} of {steps}: training RMSE {_rmse(chain.residuals):.4f}",
        )
    deep.finish()
    users.assign(model, means.users)
    movies.assign(model, means.movies)
    assign_drift(model.get_layer(USER_DRIFT), ratings, means.paths, means.slope)
    order = fit_order(
        both,
        categorical,
        dim=config.choice_dim,
        epochs=config.choice_epochs,
        learning_rate=config.choice_learning_rate,
        rating_weight=config.choice_rating_weight,
        rng=rng,
        on_epoch=lambda epoch, loss: progress.report(
            _SAMPLING_SHARE + (1 - _SAMPLING_SHARE) * epoch / config.choice_epochs,
            f"order, epoch {epoch} of {config.choice_epochs}: loss {loss:.4f}",
        ),
    )
    write(model, model_config, transformed, fn_args.serving_model_dir, order)


class _Watch:
    """Asks for the validation rows during the burn-in, by the mean of its second part; writes the history."""

    def __init__(
        self, valid: Columns, users: Side, movies: Side, chain: Chain, *, first: int, folder: str
    ) -> None:
        self._user, self._movie = _numbers(valid, users), _numbers(valid, movies)
        self._index, self._time = valid[users.identity.index_name], valid[features.TIMESTAMP.name]
        self._rating = valid[features.LABEL.name]
        self._users, self._movies = users, movies
        self._drift = UserDrift(users.identity.rows, 1 + len(drift_cells(chain.ratings)), chain.drift.seconds)
        self._drift.build([(None,), (None,)])
        self._first = first
        self._sum = np.zeros(len(self._rating))
        self._history = fileio.open(os.path.join(folder, HISTORY_FILE), "w")
        self._rows = csv.writer(self._history)
        self._rows.writerow([SWEEP, *_MEASURES])
        self._board = tf.summary.create_file_writer(folder)

    def note(self, chain: Chain, sweep: int) -> float:
        """Write a line about a sweep, from 0 on; return the validation RMSE, in stars."""
        ratings = chain.ratings
        assign_drift(self._drift, ratings, chain.drift.means, chain.drift.slope)
        said: np.ndarray = chain.rating_mean + predict(
            self._users.completed(chain.users.mean, ratings.user_counts > 0),
            self._movies.completed(chain.movies.sample, ratings.movie_counts > 0),
            self._user,
            self._movie,
            self._drift([self._index, self._time]),
        )
        said = np.clip(said, features.MIN_RATING, features.MAX_RATING)
        if sweep >= self._first:
            self._sum += said
            said = self._sum / (sweep + 1 - self._first)
        found = (
            _rmse(chain.residuals),
            _rmse(said - self._rating),
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


def _ratings(columns: Columns, users: Side, movies: Side) -> Ratings:
    return Ratings.of(
        user=_numbers(columns, users),
        movie=_numbers(columns, movies),
        rating=columns[features.LABEL.name],
        time=columns[features.TIMESTAMP.name],
        users=len(users.design),
        movies=len(movies.design),
    )


def _numbers(columns: Columns, side: Side) -> np.ndarray:
    """Return the number of each row's vocabulary entry, from 0, int64[n]."""
    return columns[side.identity.index_name] - 1


def _rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors.astype(np.float64) ** 2)))
