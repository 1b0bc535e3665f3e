"""The users and movies that a version was trained on, as the served signatures take them.

A caller has ids; the model wants a user's and a movie's raw features too. They travel with each version in
`assets.extra/catalogue/`, beside who has rated what, so that whoever asks needs no other source.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schema import features
from serving.rated import Rated

FOLDER: Final = Path("assets.extra", "catalogue")
"""The catalogue, relative to the version's folder."""

USERS_FILE: Final = FOLDER / "users.parquet"
"""The catalogue's users, relative to the version's folder."""

_MOVIES_FILE = "movies.parquet"
_TYPES = {
    features.Dtype.INT64: pa.int64(),
    features.Dtype.BYTES: pa.string(),
}


def _schema(identity: features.Feature, *others: features.Feature) -> pa.Schema:
    fields = [pa.field(identity.name, _TYPES[identity.dtype], nullable=False)]
    for feature in others:
        dtype = _TYPES[feature.dtype]
        fields.append(pa.field(feature.name, pa.list_(dtype) if feature.multivalent else dtype))
    return pa.schema(fields)


MOVIES: Final = _schema(features.MID, features.TITLE, *features.MOVIE_FEATURES)
USERS: Final = _schema(features.UID, *features.USER_FEATURES)


def write(movies: pa.Table, users: pa.Table, folder: str | Path) -> None:
    """Write a catalogue.

    Args:
        movies: Columns as `MOVIES` has them, in any order.
        users: Columns as `USERS` has them, in any order. A null is a missing value, but in an id.
        folder: Where to; made if missing.

    Raises:
        ValueError: A column is missing, unknown or of another type, or an id is null or repeated.
    """
    tables = {_MOVIES_FILE: _checked(movies, MOVIES), USERS_FILE.name: _checked(users, USERS)}
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, Path(folder, name), compression="zstd")


class Catalogue:
    """Users and movies by id, each feature one array; ids that are not in it have missing values.

    Args:
        movies: Columns as `MOVIES` has them, in any order.
        users: Columns as `USERS` has them, in any order.
        rated: Who has rated what; None where that is not known.

    Raises:
        ValueError: As `write`.
    """

    def __init__(self, movies: pa.Table, users: pa.Table, rated: Rated | None = None) -> None:
        movies, users = _checked(movies, MOVIES), _checked(users, USERS)
        self._movies = _Index(movies, features.MID, features.MOVIE_FEATURES)
        self._users = _Index(users, features.UID, features.USER_FEATURES)
        self._titles = _column(movies, features.TITLE)
        self._rated = rated

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load what `write` wrote, and `rated.write_part` beside it.

        Raises:
            FileNotFoundError: There is no catalogue in the folder.
            ValueError: As `write`.
        """
        movies, users = (pq.read_table(Path(folder, name)) for name in (_MOVIES_FILE, USERS_FILE.name))
        rated = Rated(folder)
        return cls(movies, users, rated if rated.parts else None)

    @classmethod
    def empty(cls) -> Self:
        """Return a catalogue that knows nobody and nothing."""
        return cls(MOVIES.empty_table(), USERS.empty_table())

    @property
    def mids(self) -> np.ndarray:
        """All movies, int64[movies], in the order of the file."""
        return self._movies.ids

    @property
    def uids(self) -> np.ndarray:
        """All users, int64[users], in the order of the file."""
        return self._users.ids

    @property
    def knows_rated(self) -> bool:
        """Whether it is known who has rated what."""
        return self._rated is not None

    def rated(self, uid: int) -> np.ndarray:
        """Return the movies that a user has rated, int64[n], read from disk; none where it is not known."""
        return self.rated_by_each([uid])[0]

    def rated_by_each(self, uids: Sequence[int]) -> list[np.ndarray]:
        """Return the same for several users, which takes less time than one after the other."""
        if self._rated is None:
            return [np.empty(0, np.int64)] * len(uids)
        return self._rated.mids(uids)

    def user_features(self, uids: np.ndarray | Sequence[int]) -> dict[str, np.ndarray]:
        """Return the raw features of users, int64[n], by name: the id, then int64[n] or bytes[n] each."""
        return self._users.features(uids)

    def movie_features(self, mids: np.ndarray | Sequence[int]) -> dict[str, np.ndarray]:
        """Return the raw features of movies, int64[n], by name: the id, and genres as bytes[n, width].

        The width is that of the movie with most genres (at least 1), padded with missing values.
        """
        return self._movies.features(mids)

    def titles(self, mids: np.ndarray | Sequence[int]) -> list[str]:
        """Return the titles of movies, int64[n]; empty for a movie that is not in the catalogue."""
        positions = self._movies.positions(np.asarray(mids, np.int64))
        return [title.decode() for title in self._titles[positions]]

    def predict_inputs(
        self,
        uids: np.ndarray | Sequence[int],
        mids: np.ndarray | Sequence[int],
        timestamps: np.ndarray | Sequence[int] | int = features.MISSING_INT,
    ) -> dict[str, np.ndarray]:
        """Return the inputs of signature `predict` for n pairs.

        Args:
            uids: Users, int64[n].
            mids: Movies, int64[n].
            timestamps: Moments that are asked about, seconds since 1970-01-01 UTC, int64[n] or one for all;
                the end of the training data if not given.
        """
        return self.user_features(uids) | self.movie_features(mids) | _moments(timestamps, len(uids))

    def rank_inputs(
        self, uid: int, mids: np.ndarray | Sequence[int], timestamp: int = features.MISSING_INT
    ) -> dict[str, np.ndarray]:
        """Return the inputs of signature `rank` for one user, m movies, int64[m], and one moment."""
        return self.user_features([uid]) | self.movie_features(mids) | _moments(timestamp, 1)


class _Index:
    """A table's features as arrays, each with one more row of missing values at its end."""

    def __init__(
        self, table: pa.Table, identity: features.Feature, others: Sequence[features.Feature]
    ) -> None:
        self.identity = identity
        self.ids = table[identity.name].to_numpy()
        self.columns: Mapping[str, np.ndarray] = {
            feature.name: _lists(table, feature) if feature.multivalent else _column(table, feature)
            for feature in others
        }
        self._order = np.append(np.argsort(self.ids, kind="stable"), len(self.ids))
        self._sorted = self.ids[self._order[:-1]]

    def positions(self, ids: np.ndarray) -> np.ndarray:
        """Return each id's row, int64[n]; that of the missing values for an unknown id."""
        places = np.searchsorted(self._sorted, ids)
        known = np.zeros(ids.shape, bool)
        inside = places < len(self._sorted)
        known[inside] = self._sorted[places[inside]] == ids[inside]
        return self._order[np.where(known, places, len(self._sorted))]

    def features(self, ids: np.ndarray | Sequence[int]) -> dict[str, np.ndarray]:
        asked = np.asarray(ids, np.int64)
        rows = self.positions(asked)
        return {self.identity.name: asked} | {name: column[rows] for name, column in self.columns.items()}


def _moments(timestamps: np.ndarray | Sequence[int] | int, n: int) -> dict[str, np.ndarray]:
    return {features.TIMESTAMP.name: np.broadcast_to(np.asarray(timestamps, np.int64), n)}


def _column(table: pa.Table, feature: features.Feature) -> np.ndarray:
    """Return a column and a missing value, [rows + 1]."""
    values = table[feature.name].to_pylist()
    if feature.dtype is features.Dtype.BYTES:
        return _bytes([*values, None])
    return np.array([features.MISSING_INT if value is None else value for value in [*values, None]], np.int64)


def _lists(table: pa.Table, feature: features.Feature) -> np.ndarray:
    """Return a column of lists of strings and an empty one, padded: bytes[rows + 1, width]."""
    rows: list[list[str | None]] = [values or [] for values in [*table[feature.name].to_pylist(), None]]
    width = max(1, *map(len, rows), 0)
    flat = _bytes([value for row in rows for value in [*row, *([None] * (width - len(row)))]])
    return flat.reshape(len(rows), width)


def _bytes(values: Sequence[str | None]) -> np.ndarray:
    """Return strings as an object array of bytes, which is how a Session and the wire take them."""
    array = np.empty(len(values), object)
    array[:] = [(features.MISSING_STRING if value is None else value).encode() for value in values]
    return array


def _checked(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table's columns in the schema's order."""
    if sorted(table.column_names) != sorted(schema.names):
        raise ValueError(f"the columns must be {schema.names}, got {table.column_names}")
    for field in schema:
        if table.schema.field(field.name).type != field.type:
            raise ValueError(
                f"column `{field.name}` must be {field.type}, got {table.schema.field(field.name).type}"
            )
    identity = table[schema.names[0]]
    if identity.null_count:
        raise ValueError(f"`{schema.names[0]}` must not be null, got {identity.null_count} nulls")
    if len(identity.unique()) != len(identity):
        repeated = len(identity) - len(identity.unique())
        raise ValueError(f"`{schema.names[0]}` must be unique, got {repeated} repeated values")
    return table.select(schema.names).cast(schema)
