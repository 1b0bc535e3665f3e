"""A serving folder with one version of a model that `run_fn` trained, and its catalogue."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from schema import features
from serving import catalogue, rated, release, versions
from serving.hashing import mix

UID, MID = features.UID.name, features.MID.name


def tables(rows):
    """Return the movies and users of raw rows."""
    movies = {row[MID]: row for row in rows}
    users = {row[UID]: row for row in rows}
    return (
        pa.table(
            {
                MID: list(movies),
                features.TITLE.name: [f"Movie {mid}" for mid in movies],
                features.GENRES.name: [row[features.GENRES.name] for row in movies.values()],
            },
            schema=catalogue.MOVIES,
        ),
        pa.table(
            {
                UID: list(users),
                features.GENDER.name: [row[features.GENDER.name] for row in users.values()],
                features.AGE.name: [row[features.AGE.name] for row in users.values()],
                features.OCCUPATION.name: [row[features.OCCUPATION.name] for row in users.values()],
                features.ZIP.name: [(*row[features.ZIP.name], None)[0] for row in users.values()],
            },
            schema=catalogue.USERS,
        ),
    )


@pytest.fixture(scope="session")
def serving(trained, data, tmp_path_factory):
    """The serving folder."""
    folder = tmp_path_factory.mktemp("batch") / "serving"
    version = versions.publish(trained / "model", folder, fingerprint="trained")
    catalogue.write(*tables(data.rows), folder / str(version) / catalogue.FOLDER)
    release.publish(folder, version)
    return folder


@pytest.fixture(scope="session")
def timed_serving(timed, data, tmp_path_factory):
    """The serving folder of a model that reads the moment of the question."""
    folder = tmp_path_factory.mktemp("timed") / "serving"
    version = versions.publish(timed, folder, fingerprint="timed")
    catalogue.write(*tables(data.rows), folder / str(version) / catalogue.FOLDER)
    return folder


@pytest.fixture(scope="session")
def known(serving):
    """The version's catalogue."""
    return catalogue.Catalogue.load(serving / "1" / catalogue.FOLDER)


@pytest.fixture(scope="session")
def has_rated(known):
    """Movies by user, from none for the first user of the catalogue to all for the last."""
    ends = np.linspace(0, len(known.mids), len(known.uids)).astype(int)
    return {
        uid: sorted(known.mids[:end].tolist()) for uid, end in zip(known.uids.tolist(), ends, strict=True)
    }


@pytest.fixture(scope="session")
def knowing(serving, has_rated, tmp_path_factory):
    """A serving folder whose version knows who has rated what."""
    folder = tmp_path_factory.mktemp("knowing") / "serving"
    shutil.copytree(serving, folder)
    for part in range(2):
        users = sorted(uid for uid in has_rated if mix(uid) % 2 == part)
        rows = pa.table(
            {
                UID: [uid for uid in users for _ in has_rated[uid]],
                MID: [mid for uid in users for mid in has_rated[uid]],
            },
            schema=pa.schema({UID: pa.int64(), MID: pa.int64()}),
        )
        rated.write_part(rows, folder / "1" / catalogue.FOLDER, part, 2)
    return folder


@pytest.fixture(scope="session")
def pairs(known):
    """Pairs of every user with every movie, two of them unknown, in random order, int64[n, 2]."""
    grid = np.meshgrid([*known.uids, 999_999], [*known.mids, 888_888])
    return np.random.default_rng(0).permutation(np.stack(grid, axis=-1).reshape(-1, 2))
