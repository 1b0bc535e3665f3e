"""Where the requests lie that a server logs: files of a prefix, the oldest first."""

from pathlib import Path
from typing import Final

TYPE: Final = "tfrecord"
"""The type of log collector that the local server has."""

SUFFIX: Final = ".tfrecord"

_FOLDER = "request_log"


def prefix(base_path: str | Path) -> Path:
    """Return the prefix of a serving folder's files, which lie beside it."""
    base = Path(base_path)
    return base.parent / _FOLDER / base.name


def files(filename_prefix: Path) -> list[Path]:
    """Return the files of a log, the oldest first; none where nothing was logged."""
    return sorted(filename_prefix.parent.glob(f"{filename_prefix.name}-*{SUFFIX}"))
