"""Which movies each user has rated, read one user at a time.

The ratings of all splits lie in `rated/` of a version's catalogue, one Parquet file a part of the users. A
user's part is that of the hash of their id; within a file rows are sorted by user, so that the statistics of
its row groups tell which of them to read.
"""

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

    def mids(self, uid: int) -> np.ndarray:
        """Return the movies that a user has rated, int64[n], ascending; none for an unknown user.

        Raises:
            FileNotFoundError: The file of the user's part is missing.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415

        rows = pq.read_table(
            _path(self._folder, mix(uid) % self.parts, self.parts),
            columns=[features.MID.name],
            filters=[(features.UID.name, "==", uid)],
        )
        return rows[features.MID.name].to_numpy()


def _path(folder: str | Path, part: int, parts: int) -> Path:
    return Path(folder, FOLDER, f"{part:05d}-of-{parts:05d}.parquet")
