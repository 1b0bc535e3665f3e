"""The rows that all models get: the pipeline's own split of a flat dataset, as Parquet.

Of a split there are four files, in the order of user and movie: `TRAIN`, `VALID`, `QUESTIONS`, which are the
test rows without their ratings, and `ANSWERS`, which are those ratings and how much user and movie were
rated in the first two. A model gets the first three only, so that nothing can be chosen by the test rows.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.ratings_example_gen import parse, split
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from schema import features

TRAIN, VALID, QUESTIONS, ANSWERS = "train.parquet", "valid.parquet", "questions.parquet", "answers.parquet"
SOURCE = "source"

COLUMNS = (features.UID, features.MID, features.RATING, features.TIMESTAMP)


def make(dataset: Path, config: ExampleGenConfig, folder: Path) -> str:
    """Write the four files, unless they are there already.

    Args:
      dataset: holds ratings.dat, movies.dat and users.dat.
      config: says how rows are split, and who is cold.
      folder: where to; appears whole or not at all.

    Returns:
      What tells the rows from others, as `identity`.

    Raises:
      ValueError: no split of that kind can be made of the ratings, or one of its parts is empty.
    """
    with made(folder, source(dataset, config)) as incoming:
        if incoming is not None:
            write(*divide(accepted(dataset), config), config, incoming)
    return identity(dataset, folder)


def source(dataset: Path, config: ExampleGenConfig, *code: Path) -> str:
    """Return a SHA-256, as hex, of what rows are made from: dataset, configuration, this module, others."""
    files = [dataset / name for name in (parse.RATINGS_FILE, parse.MOVIES_FILE, parse.USERS_FILE)]
    return _sha256([*files, Path(__file__), *code], config.to_json())


def identity(dataset: Path, folder: Path) -> str:
    """Return a SHA-256, as hex, of rows and of their users and movies; code that changes none leaves it."""
    files = [folder / name for name in (TRAIN, VALID, QUESTIONS, ANSWERS)]
    return _sha256([*files, *(dataset / name for name in (parse.MOVIES_FILE, parse.USERS_FILE))])


def _sha256(files: Iterable[Path], *texts: str) -> str:
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashlib.sha256(" ".join([*contents, *texts]).encode()).hexdigest()


def write(train: pa.Table, valid: pa.Table, test: pa.Table, config: ExampleGenConfig, folder: Path) -> None:
    """Write the four files into an empty folder."""
    answers = test.select([features.RATING.name])
    for identity, activity in (
        (features.UID, features.USER_ACTIVITY),
        (features.MID, features.MOVIE_ACTIVITY),
    ):
        trained_on = np.concatenate([part[identity.name].to_numpy() for part in (train, valid)])
        levels = activity_levels(test[identity.name].to_numpy(), trained_on, config)
        answers = answers.append_column(activity.name, pa.array(levels))
    for name, table in (
        (TRAIN, train),
        (VALID, valid),
        (QUESTIONS, test.drop_columns([features.RATING.name])),
        (ANSWERS, answers),
    ):
        pq.write_table(table, folder / name, compression="zstd")


def write_dataset(rows: pa.Table, like: Path, folder: Path) -> None:
    """Write a dataset of some ratings of another one, with its users and movies, into a new folder."""
    folder.mkdir()
    for name in (parse.MOVIES_FILE, parse.USERS_FILE):
        shutil.copyfile(like / name, folder / name)
    columns = [rows[feature.name].to_pylist() for feature in COLUMNS]
    lines = (f"{uid}::{mid}::{rating:g}::{time}\n" for uid, mid, rating, time in zip(*columns, strict=True))
    (folder / parse.RATINGS_FILE).write_text("".join(lines), encoding="ascii")


@contextlib.contextmanager
def made(folder: Path, source: str) -> Iterator[Path | None]:
    """Yield an empty folder that becomes `folder` when all is well; None if that is there, of this source.

    No two of the same folder may run at once.
    """
    noted = folder / SOURCE
    if noted.exists() and noted.read_text(encoding="utf-8") == source:
        yield None
        return
    incoming = folder.with_name(f".{folder.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)  # of a bench that was killed
    incoming.mkdir(parents=True)
    try:
        yield incoming
        (incoming / SOURCE).write_text(source, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(incoming, folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def divide(rows: pa.Table, config: ExampleGenConfig) -> list[pa.Table]:
    """Return the rows of each split.

    Raises:
      ValueError: no split of that kind can be made of the rows, or one of its parts is empty.
    """
    splits = assign(rows, config)
    sizes = np.bincount(splits, minlength=len(split.SPLITS))
    if not sizes.all():
        raise ValueError(f"the {split.SPLITS[int(sizes.argmin())]} split of {len(rows):,} ratings is empty")
    return [rows.filter(pa.array(splits == part)) for part in range(len(split.SPLITS))]


def accepted(dataset: Path) -> pa.Table:
    """Return the ratings that the pipeline accepts: uid, mid, rating and timestamp, by user and movie."""
    rows, _ = parse.parse((dataset / parse.RATINGS_FILE).read_bytes(), parse.RATINGS)
    for identity, file in ((features.UID, parse.USERS), (features.MID, parse.MOVIES)):
        known, _ = parse.parse((dataset / file.name).read_bytes(), file)
        rows, _ = parse.drop_unknown(rows, identity.name, known[identity.name].combine_chunks())
    rows, _ = parse.drop_repeated(rows, [features.UID.name, features.MID.name])
    return rows.select([feature.name for feature in COLUMNS])


def assign(rows: pa.Table, config: ExampleGenConfig) -> np.ndarray:
    """Return the split of each row, int8[n]."""
    if config.split is SplitMethod.RANDOM:
        uid, mid = (rows[feature.name].to_numpy() for feature in (features.UID, features.MID))
        return split.split_by_hash(split.row_hash(uid, mid, config.split_seed), config)
    times = rows[features.TIMESTAMP.name].to_numpy()
    hours, counts = np.unique(times // split.SECONDS_PER_HOUR, return_counts=True)
    by_hour = dict(zip(hours.tolist(), counts.tolist(), strict=True))
    return split.split_by_time(times, split.time_boundaries(by_hour, config))


def activity_levels(ids: np.ndarray, trained_on: np.ndarray, config: ExampleGenConfig) -> np.ndarray:
    """Return how much each id was rated in what is trained on, as one of `ACTIVITY_LEVELS`.

    Args:
      ids: int64[n].
      trained_on: the ids of its rows, int64[m].
      config: says from how many ratings on an id is of which level.
    """
    known, counts = np.unique(trained_on, return_counts=True)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    n = np.where(known[places] == ids, counts[places], 0)
    return np.array(features.ACTIVITY_LEVELS)[np.digitize(n, [config.cold_below, config.heavy_from])]
