"""The rows by which order is measured: each user's last rating is held out, and looked for among all movies.

The ratings before it are a dataset of their own, in `DATASET`, which the pipeline splits at random; its test
rows nobody needs. Some users are asked about every movie. `ANSWERS` has for each question the rating of the
movie that is held out and the seconds since the user's rating before it, null for all others, and whether the
user has rated the movie before, in whatever split.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ratings_example_gen import parse, split
from components.ratings_example_gen.config import ExampleGenConfig
from schema import features
from tests.benchmarks.quality import splits

DATASET = "dataset"
RATED, PAUSE = "rated", "pause"
USERS = 3000  # that are asked


def make(dataset: Path, config: ExampleGenConfig, folder: Path) -> str:
    """Write the rows and the dataset, unless they are there already.

    Args:
      dataset: holds ratings.dat, movies.dat and users.dat.
      config: says how the ratings before the last are split.
      folder: where to; appears whole or not at all.

    Returns:
      What tells the rows from others, as `splits.identity`.

    Raises:
      ValueError: a split of the ratings is empty.
    """
    with splits.made(folder, splits.source(dataset, config, Path(__file__))) as incoming:
        if incoming is None:
            return splits.identity(dataset, folder)
        rows = splits.accepted(dataset)
        last = last_of_each_user(rows, config.split_seed)
        before, held_out = (rows.filter(pa.array(mask)) for mask in (~last, last))
        train, valid, _ = splits.divide(before, config)
        pq.write_table(train, incoming / splits.TRAIN, compression="zstd")
        pq.write_table(valid, incoming / splits.VALID, compression="zstd")
        movies, _ = parse.parse((dataset / parse.MOVIES_FILE).read_bytes(), parse.MOVIES)
        hashes = split.mix(held_out[features.UID.name].to_numpy().astype(np.uint64))
        asked = held_out.take(pa.array(np.sort(np.argsort(hashes, kind="stable")[:USERS])))
        questions, answers = ask(asked, before, np.unique(movies[features.MID.name].to_numpy()))
        pq.write_table(questions, incoming / splits.QUESTIONS, compression="zstd")
        pq.write_table(answers, incoming / splits.ANSWERS, compression="zstd")
        splits.write_dataset(before, dataset, incoming / DATASET)
    return splits.identity(dataset, folder)


def last_of_each_user(rows: pa.Table, seed: int) -> np.ndarray:
    """Return which row is the last of its user, bool[n]; of several in that second, any one."""
    uid, mid, time = (rows[f.name].to_numpy() for f in (features.UID, features.MID, features.TIMESTAMP))
    order = np.lexsort((split.row_hash(uid, mid, seed), time, uid))
    last = np.zeros(len(rows), bool)
    last[order] = np.append(np.diff(uid[order]) > 0, True)
    return last


def ask(asked: pa.Table, before: pa.Table, movies: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """Return a question for each user and movie, the movies of a user together, and the answers.

    Args:
      asked: the rating held out of each user who is asked.
      before: all other ratings, by user and movie.
      movies: int64[m], sorted.
    """
    uid, mid, time = (asked[f.name].to_numpy() for f in (features.UID, features.MID, features.TIMESTAMP))
    users, width = len(uid), len(movies)
    held_out, pauses = np.full((2, users, width), np.nan, np.float32)
    rated, latest = np.zeros((users, width), bool), np.full(users, -np.inf)
    place = np.arange(users), np.searchsorted(movies, mid)
    rows = before.filter(pc.is_in(before[features.UID.name], pa.array(uid)))
    of_user = np.searchsorted(uid, rows[features.UID.name].to_numpy())
    rated[of_user, np.searchsorted(movies, rows[features.MID.name].to_numpy())] = True
    np.maximum.at(latest, of_user, rows[features.TIMESTAMP.name].to_numpy())
    held_out[place] = asked[features.RATING.name].to_numpy()
    pauses[place] = np.where(np.isfinite(latest), time - latest, np.nan)
    questions = {
        features.UID.name: np.repeat(uid, width),
        features.MID.name: np.tile(movies, users),
        features.TIMESTAMP.name: np.repeat(time, width),
    }
    answers = {
        features.RATING.name: pa.array(held_out.ravel(), from_pandas=True),
        PAUSE: pa.array(pauses.ravel(), from_pandas=True),
        RATED: rated.ravel(),
    }
    return pa.table(questions), pa.table(answers)
