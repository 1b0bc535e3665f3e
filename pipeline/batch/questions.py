"""What is asked of a version for a block of rows."""

import abc
import atexit
import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from pipeline.batch import ids
from schema import features
from serving.catalogue import FOLDER, Catalogue
from serving.client.logic import PREDICT_SIGNATURE, RANK_SIGNATURE, ROWS_PER_REQUEST
from serving.saved_model import SessionModel

PREDICTION: Final = "prediction"
VERSION: Final = "version"
RANK: Final = "rank"

BLOCK_ROWS: Final = 131_072
"""Rows of a block, in or out, whichever is more."""

_USERS = 1024  # of a block, so that progress is seen

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Version:
    """A loaded version: its model and its catalogue.

    Args:
        folder: The version's folder, named by its number.

    Raises:
        ModelNotLoadable: The model is broken.
        OSError: There is no catalogue.
        ValueError: The catalogue is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.number = int(Path(folder).name)
        self.catalogue = Catalogue.load(Path(folder, FOLDER))
        self._model = SessionModel(folder)
        self._timeless = {  # as in older versions
            name
            for name, definition in self._model.signatures.items()
            if features.TIMESTAMP.name not in definition.inputs
        }
        # Beam has no end for a model. One that is left open complains when the interpreter goes.
        atexit.register(self._model.close)
        # A Session takes the rows of one call through most of its graph on one core.
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def ask(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the model's outputs."""
        if signature in self._timeless:
            inputs = {name: value for name, value in inputs.items() if name != features.TIMESTAMP.name}
        return self._model.run(signature, inputs)

    def each(self, answer: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
        """Return the answer to each item, several made at a time, in the order of the items."""
        return list(self._threads.map(answer, items))


class Question(abc.ABC):
    """What is asked; travels to the workers."""

    identities: tuple[features.Feature, ...]  # ids that a row must have
    optional: tuple[features.Feature, ...]  # integers that it may have, without a fault
    columns: tuple[str, ...] | None  # to read of the input; None is all
    once: bool  # whether an id that stands in several rows is answered once; then `identities` is one

    @property
    @abc.abstractmethod
    def block_rows(self) -> int:
        """Rows of a block, which is what a worker holds at a time."""

    @abc.abstractmethod
    def answer(self, version: Version, rows: pa.Table) -> pa.Table:
        """Return the answer for rows whose ids have no fault."""

    @abc.abstractmethod
    def answer_rows(self, catalogue: Catalogue, rows: pa.Table) -> int:
        """Return how many rows the answer has, without making it."""


@dataclasses.dataclass(frozen=True)
class RatePairs(Question):
    """What each user would rate the movie beside it: the rows, with `prediction` in stars and `version`."""

    timestamp: int = features.MISSING_INT  # of rows without a column of it; seconds since 1970-01-01 UTC

    identities = (features.UID, features.MID)
    optional = (features.TIMESTAMP,)
    columns = None
    once = False

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return BLOCK_ROWS

    def answer(self, version: Version, rows: pa.Table) -> pa.Table:
        """Return the rows with two more columns, float32 and int64."""
        uids, mids = (ids.read(rows, identity) for identity in self.identities)
        told = features.TIMESTAMP.name in rows.column_names
        moments = ids.read(rows, features.TIMESTAMP) if told else np.full(len(rows), self.timestamp)
        parts = [slice(start, start + ROWS_PER_REQUEST) for start in range(0, len(rows), ROWS_PER_REQUEST)]

        def rate(part: slice) -> np.ndarray:
            inputs = version.catalogue.predict_inputs(uids[part], mids[part], moments[part])
            return version.ask(PREDICT_SIGNATURE, inputs)[features.RATING.name]

        ratings = np.concatenate(version.each(rate, parts))
        numbers = np.full(len(rows), version.number)
        return rows.append_column(PREDICTION, pa.array(ratings)).append_column(VERSION, pa.array(numbers))

    def answer_rows(self, catalogue: Catalogue, rows: pa.Table) -> int:
        """Return the number of rows."""
        return len(rows)


@dataclasses.dataclass(frozen=True)
class RankMovies(Question):
    """The best movies of the catalogue for each user, by signature `rank` as online.

    What the user has rated is left out, so far as the version knows it; a user may get fewer than `top`.
    """

    top: int  # movies a user, at least 1
    include_rated: bool = False  # leave nothing out
    timestamp: int = features.MISSING_INT  # the moment that is asked about; seconds since 1970-01-01 UTC

    identities = (features.UID,)
    optional = ()
    columns = (features.UID.name,)
    once = True

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"`top` must be positive, got {self.top}")

    @property
    def block_rows(self) -> int:
        """Users of a block."""
        return max(1, min(_USERS, BLOCK_ROWS // self.top))

    def answer(self, version: Version, rows: pa.Table) -> pa.Table:
        """Return a row for each user and rank: ids int64, rank int32 from 1, title, float32, int64."""
        uids, tables = ids.read(rows, features.UID), version.catalogue
        shared = tables.movie_features(tables.mids) | {features.TIMESTAMP.name: np.array([self.timestamp])}

        def best(user: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            uid, left_out = user
            outputs = version.ask(RANK_SIGNATURE, tables.user_features([uid]) | shared)
            mids = outputs[features.MID.name]
            kept = np.flatnonzero(~np.isin(mids, left_out))[: self.top]
            return mids[kept], outputs[features.RATING.name][kept]

        users = list(zip(uids.tolist(), self._left_out(tables, uids), strict=True))
        by_user, ratings = zip(*version.each(best, users), strict=True)
        each, mids = [len(found) for found in by_user], np.concatenate(by_user)
        return pa.table(
            {
                features.UID.name: np.repeat(uids, each),
                RANK: np.concatenate([np.arange(1, count + 1, dtype=np.int32) for count in each]),
                features.MID.name: mids,
                features.TITLE.name: pa.array(tables.titles(mids), pa.string()),
                PREDICTION: np.concatenate(ratings),
                VERSION: np.full(len(mids), version.number),
            }
        )

    def answer_rows(self, catalogue: Catalogue, rows: pa.Table) -> int:
        """Return the sum of `top`, or as many movies as are left, over the users."""
        return sum(
            min(self.top, int(np.isin(catalogue.mids, left_out, invert=True).sum()))
            for left_out in self._left_out(catalogue, ids.read(rows, features.UID))
        )

    def _left_out(self, catalogue: Catalogue, uids: np.ndarray) -> list[np.ndarray]:
        """Return the movies that each user is not shown."""
        if self.include_rated:
            return [np.empty(0, np.int64)] * len(uids)
        return catalogue.rated_by_each(uids.tolist())
