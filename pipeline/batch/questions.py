"""What is asked of a version for a block of rows."""

import abc
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

_ROWS = 131_072  # of a block, in or out, whichever is more
_USERS = 1024  # of a block, so that progress is seen

Item = TypeVar("Item")


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
        # A Session takes the rows of one call through most of its graph on one core.
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def ask_each(
        self, signature: str, inputs: Callable[[Item], dict[str, np.ndarray]], items: Sequence[Item]
    ) -> list[dict[str, np.ndarray]]:
        """Return the model's outputs for the inputs made of each item, in the order of the items."""
        return list(self._threads.map(lambda item: self._model.run(signature, inputs(item)), items))


class Question(abc.ABC):
    """What is asked; travels to the workers."""

    identities: tuple[features.Feature, ...]  # ids that a row must have
    columns: tuple[str, ...] | None  # to read of the input; None is all

    @property
    @abc.abstractmethod
    def block_rows(self) -> int:
        """Rows of a block, which is what a worker holds at a time."""

    @abc.abstractmethod
    def answer(self, version: Version, rows: pa.Table) -> pa.Table:
        """Return the answer for rows whose ids have no fault."""

    @abc.abstractmethod
    def answer_rows(self, rows: int, catalogue: Catalogue) -> int:
        """Return how many rows the answer has for that many rows."""


@dataclasses.dataclass(frozen=True)
class RatePairs(Question):
    """What each user would rate the movie beside it: the rows, with `prediction` in stars and `version`."""

    identities = (features.UID, features.MID)
    columns = None

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return _ROWS

    def answer(self, version: Version, rows: pa.Table) -> pa.Table:
        """Return the rows with two more columns, float32 and int64."""
        uids, mids = (ids.read(rows, identity) for identity in self.identities)
        parts = [slice(start, start + ROWS_PER_REQUEST) for start in range(0, len(rows), ROWS_PER_REQUEST)]
        answers = version.ask_each(
            PREDICT_SIGNATURE, lambda part: version.catalogue.predict_inputs(uids[part], mids[part]), parts
        )
        ratings = np.concatenate([outputs[features.RATING.name] for outputs in answers])
        numbers = np.full(len(rows), version.number)
        return rows.append_column(PREDICTION, pa.array(ratings)).append_column(VERSION, pa.array(numbers))

    def answer_rows(self, rows: int, catalogue: Catalogue) -> int:
        """Return the same number."""
        return rows


@dataclasses.dataclass(frozen=True)
class RankMovies(Question):
    """The movies of the catalogue that each user would rate highest, by signature `rank` as online."""

    top: int  # movies a user, at least 1

    identities = (features.UID,)
    columns = (features.UID.name,)

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"`top` must be positive, got {self.top}")

    @property
    def block_rows(self) -> int:
        """Users of a block."""
        return max(1, min(_USERS, _ROWS // self.top))

    def answer(self, version: Version, rows: pa.Table) -> pa.Table:
        """Return a row for each user and rank: ids int64, rank int32 from 1, title, float32, int64."""
        uids, tables = ids.read(rows, features.UID), version.catalogue
        movies = tables.movie_features(tables.mids)
        answers = version.ask_each(
            RANK_SIGNATURE, lambda uid: tables.user_features([uid]) | movies, uids.tolist()
        )
        mids, ratings = (
            np.concatenate([outputs[feature.name][: self.top] for outputs in answers])
            for feature in (features.MID, features.RATING)
        )
        each = self.answer_rows(1, tables)
        return pa.table(
            {
                features.UID.name: np.repeat(uids, each),
                RANK: np.tile(np.arange(1, each + 1, dtype=np.int32), len(uids)),
                features.MID.name: mids,
                features.TITLE.name: tables.titles(mids),
                PREDICTION: ratings,
                VERSION: np.full(len(mids), version.number),
            }
        )

    def answer_rows(self, rows: int, catalogue: Catalogue) -> int:
        """Return `top` rows a user, or as many as there are movies."""
        return rows * min(self.top, len(catalogue.mids))
