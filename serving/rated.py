"""Which movies each user has rated, read for a few users at a time.

The ratings of all splits lie in `rated/` of a version's catalogue, one Parquet file a part of the users. A
user's part is that of the hash of their id; within a file rows are sorted by user, so that the statistics of
its row groups tell which of them to read.
"""

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from schema import features
from serving.hashing import mix

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER: Final = "rated"
"""The files' folder, relative to the catalogue's."""

_ROWS_PER_GROUP = 16_384
_SIDES: Final = ("left", "right")


def write_part(rows: "pa.Table", folder: str | Path, part: int, parts: int) -> None:
    """Write the ratings of a part of the users.

    Args:
        rows: Columns `uid` and `mid`, int64, sorted by both; others are left out. Only users of the part.
        folder: The catalogue's.
        part: Number of the part; `mix(uid) % parts` of each user.
        parts: How many there are.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = _path(folder, part, parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        rows.select([features.UID.name, features.MID.name]),
        path,
        row_group_size=_ROWS_PER_GROUP,
        compression="zstd",
        # A user's movies are near each other, and few of them repeat.
        use_dictionary=[features.UID.name],
        column_encoding={features.MID.name: "DELTA_BINARY_PACKED"},
    )


class Rated:
    """The ratings in the folder of a catalogue; without any, `parts` is 0.

    Args:
        folder: The catalogue's.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.parts = len(list(self._folder.joinpath(FOLDER).glob("*.parquet")))

    def mids(self, uids: Sequence[int]) -> list[np.ndarray]:
        """Return the movies that each user has rated, int64[n], ascending; none for an unknown user.

        Each file is read once, of it the row groups from the lowest of its users to the highest.

        Raises:
            FileNotFoundError: The file of a user's part is missing.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415

        by_part: dict[int, set[int]] = collections.defaultdict(set)
        for uid in uids:
            by_part[mix(uid) % self.parts].add(uid)
        found: dict[int, np.ndarray] = {}
        for part, users in by_part.items():
            rows = pq.read_table(
                _path(self._folder, part, self.parts),
                columns=[features.UID.name, features.MID.name],
                filters=_of(users),
            )
            mids, asked = rows[features.MID.name].to_numpy(), np.array(list(users))
            starts, ends = (np.searchsorted(rows[features.UID.name], asked, side) for side in _SIDES)
            for uid, start, end in zip(asked.tolist(), starts, ends, strict=True):
                found[uid] = mids[start:end]
        return [found[uid] for uid in uids]


def _of(users: set[int]) -> list[tuple[str, str, int | set[int]]]:
    """Return the filter of some users' rows, in terms that the statistics of row groups can answer."""
    name, lowest, highest = features.UID.name, min(users), max(users)
    if lowest == highest:  # half the time of the others, and someone waits
        return [(name, "==", lowest)]
    return [(name, ">=", lowest), (name, "<=", highest), (name, "in", users)]


def _path(folder: str | Path, part: int, parts: int) -> Path:
    return Path(folder, FOLDER, f"{part:05d}-of-{parts:05d}.parquet")
