"""A serving folder with one version of a model that `run_fn` trained, and its catalogue."""

import numpy as np
import pyarrow as pa
import pytest

from schema import features
from serving import catalogue, release, versions

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
def known(serving):
    """The version's catalogue."""
    return catalogue.Catalogue.load(serving / "1" / catalogue.FOLDER)


@pytest.fixture(scope="session")
def pairs(known):
    """Pairs of every user with every movie, two of them unknown, in random order, int64[n, 2]."""
    grid = np.meshgrid([*known.uids, 999_999], [*known.mids, 888_888])
    return np.random.default_rng(0).permutation(np.stack(grid, axis=-1).reshape(-1, 2))
