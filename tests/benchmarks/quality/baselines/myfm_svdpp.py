"""myFM: a factorization machine by Gibbs sampling, with SVD++ terms both ways.

The fields are those of Rendle, Zhang and Koren 2019, On the Difficulty of Evaluating Baselines
(https://arxiv.org/abs/1905.01395): the user, the movie, the movies that the user rated, the users who rated
the movie, and with `--day` the day of the rating. Both histories are of the training rows. An id that was not
trained on has no value in its field. Such a day is taken as the nearest trained on before it, or else as the
first: without a value all that days say, a part of the mean rating included, would be missing. With
`--ordered` the stars are ordered classes under a probit link, and the prediction is their mean.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import myfm
import numpy as np
from scipy import sparse
from task import Pairs, run

from schema import features

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Field:
    """The distinct values of a field; a value has an index, that of an unknown one is the last."""

    values: np.ndarray

    def index(self, values: np.ndarray) -> np.ndarray:
        """Return int64[n]."""
        places = np.minimum(np.searchsorted(self.values, values), len(self.values) - 1)
        return np.where(self.values[places] == values, places, len(self.values))

    def latest(self, values: np.ndarray) -> np.ndarray:
        """Return the index of each value or else of the nearest one below, or else of the first, int64[n]."""
        return np.maximum(np.searchsorted(self.values, values, side="right") - 1, 0)

    def one_hot(self) -> sparse.csr_matrix:
        """Return a row for each index, the last one empty: [values + 1, values]."""
        return sparse.eye(len(self.values) + 1, len(self.values), format="csr")


@dataclass(frozen=True)
class Machine:
    """A fitted machine, and what turns pairs into its input."""

    machine: myfm.MyFMRegressor | myfm.MyFMOrderedProbit
    stars: np.ndarray  # the distinct ratings, sorted
    fields: tuple[Field, Field, Field | None]  # users, movies, days
    blocks: tuple[sparse.csr_matrix, sparse.csr_matrix]  # of users and of movies, a row for each index

    def inputs(self, pairs: Pairs) -> tuple[sparse.csr_matrix | None, list[myfm.RelationBlock]]:
        """Return what stands in each row, and what it shares with others."""
        users, movies, days = self.fields
        relations = [
            myfm.RelationBlock(field.index(ids), block)
            for field, ids, block in zip((users, movies), (pairs.uid, pairs.mid), self.blocks, strict=True)
        ]
        return (days and days.one_hot()[days.latest(pairs.time // _SECONDS_PER_DAY)]), relations

    def predict(self, questions: Pairs) -> np.ndarray:
        """Return ratings in stars, float64[n], the mean over the samples."""
        inputs = self.inputs(questions)
        if isinstance(self.machine, myfm.MyFMOrderedProbit):
            return self.machine.predict_proba(*inputs) @ self.stars
        ratings = self.machine.predict(*inputs)
        return np.clip(ratings, features.MIN_RATING, features.MAX_RATING)

    def parameters(self) -> Iterator[np.ndarray]:
        """Yield the weights and factors of each sample."""
        for sample in self.machine.predictor_.samples:
            yield sample.w
            yield sample.V


def fit(pairs: Pairs, ratings: np.ndarray, arguments: argparse.Namespace) -> Machine:
    """Draw samples; as by default, the first five are not kept."""
    users, movies = Field(np.unique(pairs.uid)), Field(np.unique(pairs.mid))
    days = Field(np.unique(pairs.time // _SECONDS_PER_DAY)) if arguments.day else None
    rated = sparse.csr_matrix(
        (np.ones(len(pairs)), (users.index(pairs.uid), movies.index(pairs.mid))),
        shape=(len(users.values) + 1, len(movies.values) + 1),
    )
    blocks = tuple(
        sparse.hstack([field.one_hot(), _history(history)], format="csr")
        for field, history in ((users, rated[:, :-1]), (movies, rated.T.tocsr()[:, :-1]))
    )
    kind = myfm.MyFMOrderedProbit if arguments.ordered else myfm.MyFMRegressor
    stars, classes = np.unique(ratings, return_inverse=True)
    machine = Machine(
        kind(rank=arguments.rank, random_seed=arguments.seed), stars, (users, movies, days), blocks
    )
    u, m = len(users.values), len(movies.values)
    shapes = [*([len(days.values)] if days else []), u, m, m, u]
    rows, relations = machine.inputs(pairs)
    targets = classes if arguments.ordered else ratings
    machine.machine.fit(rows, targets, X_rel=relations, group_shapes=shapes, n_iter=arguments.iterations)
    return machine


def _history(rated: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by the root of how many values it has, as SVD++ does."""
    counts = np.diff(rated.indptr)
    return sparse.diags(1 / np.sqrt(np.maximum(counts, 1))) @ rated


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--day", action="store_true")
    parser.add_argument("--ordered", action="store_true")


if __name__ == "__main__":
    run(fit, _options)
