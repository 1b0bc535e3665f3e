"""From one file of ratings to a folder of days."""

import dataclasses
import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ratings_example_gen import spans
from components.ratings_example_gen.parse import split_lines
from pipeline.dataset import layout
from pipeline.dataset.errors import DatasetError
from pipeline.dataset.staging import staged_folder
from schema import features

_SECONDS_PER_DAY = 86_400
_BLOCK_BYTES = 64 << 20
_TIME = r"::(?P<time>[0-9]{1,10})\r?\n?\z"
_EPOCH = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Days:
    """What was written."""

    lines: int  # as many as the file of ratings has
    first: datetime.date
    last: datetime.date
    quiet: int  # days between them without ratings
    without_time: int  # lines that went with the line before them

    @property
    def count(self) -> int:
        """How many days there are, with the quiet ones."""
        return (self.last - self.first).days + 1


def split_by_day(
    source: Path, output: Path, *, report: Callable[[float], None], block_bytes: int = _BLOCK_BYTES
) -> Days:
    """Write the ratings of a flat dataset as one folder a day (UTC), movies and users shared at the top.

    Lines stay as they are, in the order of the file. One without a usable time goes with the line before it
    (before the first with a time, with that), so that whoever reads the days sees and rejects it. Every day
    between the first and the last has a folder, a quiet one with an empty file: a folder that is not there
    is a day that is missing. The output appears whole or not at all.

    Args:
        source: Folder that holds the three data files.
        output: Folder to write; must not exist, or be empty.
        report: Told how far it is, from 0 to 1.
        block_bytes: Bytes of ratings in memory at a time.

    Returns:
        What was written.

    Raises:
        DatasetError: The output exists, or cannot be written, or no line has a usable time.
    """
    output = output.absolute()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(output.with_name(f".{output.name}.lock")):
            if output.exists() and (not output.is_dir() or any(output.iterdir())):
                raise DatasetError(
                    f"{output} exists and is not empty: give a new folder to write the days into."
                )
            with staged_folder(output) as staged:
                days = _write_days(source / layout.RATINGS_FILE, staged, report, block_bytes)
                for name in (layout.MOVIES_FILE, layout.USERS_FILE, layout.MARKER_FILE):
                    if (source / name).exists():
                        shutil.copyfile(source / name, staged / name)
    except OSError as error:
        raise DatasetError(f"The days cannot be written to {output}: {error}.") from error
    return days


def _write_days(path: Path, folder: Path, report: Callable[[float], None], block_bytes: int) -> Days:
    written: set[int] = set()
    lines, without_time, size, last = 0, 0, path.stat().st_size, np.int64(-1)
    with path.open("rb") as file:
        while block := file.read(block_bytes):
            text = split_lines(block + file.readline())
            days = _days(text)
            timed = days[days >= 0]
            if last < 0:
                if not len(timed):
                    raise DatasetError(
                        f"{path} has no line that ends in a time in seconds since 1970: "
                        "it must be in MovieLens 1M's format."
                    )
                last = timed[0]
            lines += len(days)
            without_time += len(days) - len(timed)
            days = _with_the_line_before(days, last)
            last = days[-1]
            written |= _append_lines(folder, text, days)
            report(file.tell() / size)
    for day in range(min(written), max(written)):
        if day not in written:
            _append(folder, day, b"")
    return Days(
        lines=lines,
        first=_date(min(written)),
        last=_date(max(written)),
        quiet=max(written) - min(written) + 1 - len(written),
        without_time=without_time,
    )


def _date(day: int) -> datetime.date:
    return _EPOCH + datetime.timedelta(days=day)


def _days(text: pa.LargeBinaryArray) -> np.ndarray:
    """Return the day of each line since 1970, int64[n]; -1 where it has no usable time."""
    found = pc.struct_field(pc.extract_regex(text, _TIME), "time")
    seconds = pc.fill_null(found.cast(pa.large_string()).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return np.where((seconds > 0) & (seconds <= features.MAX_TIMESTAMP), seconds // _SECONDS_PER_DAY, -1)


def _with_the_line_before(days: np.ndarray, before: np.int64) -> np.ndarray:
    """Return int64[n] with each -1 replaced by what precedes it, at the beginning by `before`."""
    days = np.append(before, days)
    return days[np.maximum.accumulate(np.where(days < 0, 0, np.arange(len(days))))][1:]


def _append_lines(folder: Path, text: pa.LargeBinaryArray, days: np.ndarray) -> set[int]:
    """Append each day's lines to its file; return the days."""
    order = np.argsort(days, kind="stable")
    ordered = text.take(pa.array(order))
    offsets = np.frombuffer(ordered.buffers()[1], np.int64)[: len(ordered) + 1]
    data = memoryview(ordered.buffers()[2])
    found, starts = np.unique(days[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    for day, start, end in zip(found.tolist(), starts, ends, strict=True):
        _append(folder, day, data[offsets[start] : offsets[end]])
    return set(found.tolist())


def _append(folder: Path, day: int, data: bytes | memoryview) -> None:
    path = folder / spans.folder(_date(day)) / layout.RATINGS_FILE
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(data)
