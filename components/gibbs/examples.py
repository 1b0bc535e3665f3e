"""The transformed examples of a fit, in memory."""

import dataclasses
from typing import Self

import numpy as np
from tfx.components.trainer.fn_args_utils import FnArgs

from components.deepfm.config import DeepFMConfig
from components.gibbs.ratings import Ratings
from components.gibbs.sides import Side
from components.trainer.batches import Batches, Columns
from components.trainer.transformed import Transformed
from schema import features

_READ_ROWS = 1_000_000  # at once


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """The rows of the training and the validation split, and the two sides of the model."""

    transformed: Transformed
    both: Columns  # the rows of both splits, those of training first
    train_rows: int  # how many those are
    users: Side  # with an entry for each user of both splits
    movies: Side

    @classmethod
    def read(cls, fn_args: FnArgs, config: DeepFMConfig) -> Self:
        """Read what TFX gives a training or a search.

        Args:
          fn_args: from TFX.
          config: names the fields.

        Raises:
          ValueError: a row is of an id outside the vocabulary, or an entry of the vocabulary has no row.
        """
        transformed = Transformed(fn_args.transform_graph_path)
        train, valid = (
            Batches(files, transformed.spec(config), batch_size=_READ_ROWS, block_rows=_READ_ROWS).columns()
            for files in (fn_args.train_files, fn_args.eval_files)
        )
        both = {name: np.concatenate([train[name], valid[name]]) for name in train}
        categorical = [field for field in transformed.categorical if field.name in config.categorical]
        numeric = [number for number in transformed.numeric if number.name in config.numeric]
        return cls(
            transformed=transformed,
            both=both,
            train_rows=len(train[features.LABEL.name]),
            users=Side.of("user", features.UID, features.USER_FEATURES, categorical, numeric, both),
            movies=Side.of("movie", features.MID, features.MOVIE_FEATURES, categorical, numeric, both),
        )

    @property
    def train(self) -> Columns:
        """The rows of the training split."""
        return {name: column[: self.train_rows] for name, column in self.both.items()}

    @property
    def valid(self) -> Columns:
        """The rows of the validation split."""
        return {name: column[self.train_rows :] for name, column in self.both.items()}

    def ratings(self, columns: Columns) -> Ratings:
        """Return rows as the ratings that a chain is run on."""
        return Ratings.of(
            user=self.users.entries(columns),
            movie=self.movies.entries(columns),
            rating=columns[features.LABEL.name],
            time=columns[features.TIMESTAMP.name],
            users=len(self.users.design),
            movies=len(self.movies.design),
        )
