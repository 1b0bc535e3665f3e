"""Parquet in and out, a block at a time.

A block is one file of the output, named by its place in the input: a block that a runner writes again writes
the same file, and the files in the order of their names have the order of the input. Beam's own Parquet
source reads whole row groups, which may be the whole file.
"""

import collections
import contextlib
import dataclasses
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.batch.scoring import REASON, Block

REJECTED_FOLDER: Final = "_rejected"
"""Of the output; the underscore hides it from whoever reads the output as one table."""

_HIDDEN = (".", "_")
_UNFINISHED = "unfinished-"
_READ_BYTES = 1 << 20


class InputError(Exception):
    """The input cannot be read as what was asked for."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A row group of a file of the input."""

    path: str
    row_group: int
    first_row: int  # of the whole input


def find_parts(
    source: Path, needed: Sequence[str], optional: Sequence[str], added: Sequence[str]
) -> tuple[list[Part], int]:
    """Look through the input.

    Args:
        source: A Parquet file, a folder of them, or a pattern such as `day-*.parquet`.
        needed: Columns that every file must have.
        optional: Columns that a file may have, once.
        added: Columns that no file may have.

    Returns:
        Its parts, and how many rows there are.

    Raises:
        InputError: There is no such file, or one that is not Parquet or has not the columns.
    """
    parts, rows = [], 0
    for path in _paths(source):
        try:
            metadata = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        columns = metadata.schema.to_arrow_schema().names
        for name in needed:
            if columns.count(name) != 1:
                raise InputError(f"{path} must have one column `{name}`, got {columns}")
        for name in optional:
            if columns.count(name) > 1:
                raise InputError(f"{path} must have at most one column `{name}`, got {columns}")
        for name in added:
            if name in columns:
                raise InputError(f"{path} has a column `{name}`, which the output is to have; rename it")
        for group in range(metadata.num_row_groups):
            parts.append(Part(str(path), group, rows))
            rows += metadata.row_group(group).num_rows
    return parts, rows


def read_blocks(part: Part, columns: Sequence[str] | None, block_rows: int) -> Iterator[Block]:
    """Yield the rows of a part, at most `block_rows` at a time; of all columns, or of those named that exist.

    Raises:
        InputError: The file is damaged.
    """
    first_row = part.first_row
    # A buffer, since without one a whole column of the row group is read at once.
    with pq.ParquetFile(part.path, buffer_size=_READ_BYTES) as file:
        batches = file.iter_batches(block_rows, row_groups=[part.row_group], columns=columns)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(part.path, error) from error
            yield Block(first_row, pa.Table.from_batches([batch]))
            first_row += len(batch)


def write_block(block: Block, folder: Path) -> None:
    """Write a block as a file of its own."""
    pq.write_table(block.rows, folder / f"part-{block.first_row:012d}.parquet", compression="zstd")


def count_answers(folder: Path) -> int:
    """Return how many rows of answers an output has."""
    return sum(pq.read_metadata(path).num_rows for path in _parquet_files(folder))


def count_rejected(folder: Path) -> collections.Counter[str]:
    """Return how many rows an output rejected, by reason."""
    reasons: collections.Counter[str] = collections.Counter()
    for path in _parquet_files(folder / REJECTED_FOLDER):
        found = pc.value_counts(pq.read_table(path, columns=[REASON])[REASON])
        reasons.update({count["values"]: count["counts"] for count in found.to_pylist()})
    return reasons


@contextlib.contextmanager
def appearing(output: Path) -> Iterator[Path]:
    """Yield a folder to write to, which gets its name once all is written, and is removed if that fails.

    A process that is killed leaves it behind, as `.NAME.unfinished-…` beside the output, until the next call
    with the same output.

    Raises:
        FileExistsError: There is something at `output`.
        OSError: It cannot be written.
    """
    output = output.absolute()
    if output.exists():
        raise FileExistsError(f"{output} exists; name a folder that does not, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        # Else a folder could be taken for a leftover before its own process has locked it.
        with _locked(output.parent, fcntl.LOCK_EX):
            prefix = f".{output.name}.{_UNFINISHED}"
            for leftover in output.parent.glob(f"{glob.escape(prefix)}*"):
                with _locked(leftover, fcntl.LOCK_EX | fcntl.LOCK_NB) as ours:
                    if ours:
                        shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=output.parent))
            held.enter_context(_locked(folder, fcntl.LOCK_EX))
        with _renamed_when_whole(folder, output):
            yield folder


@contextlib.contextmanager
def _renamed_when_whole(folder: Path, output: Path) -> Iterator[None]:
    try:
        (folder / REJECTED_FOLDER).mkdir()
        yield
        for path in (*folder.rglob("*"), folder):
            _force_to_disk(path)
        folder.chmod(0o755)  # mkdtemp lets nobody else in
        folder.rename(output)
    except BaseException:
        shutil.rmtree(folder)
        raise
    _force_to_disk(output.parent)


def _paths(source: Path) -> list[Path]:
    if source.is_dir():
        found = _parquet_files(source)
        if not found:
            raise InputError(f"{source} holds no *.parquet")
        return found
    if source.exists():
        return [source]
    matched = sorted(Path(path) for path in glob.glob(str(source)) if Path(path).is_file())
    if not matched:
        raise InputError(f"{source} does not exist; give a Parquet file, a folder of them or a pattern")
    return matched


def _unreadable(path: str | Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}")


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith(_HIDDEN))


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold a folder's lock, which ends with the process; say whether it is held.

    Where folders cannot be locked, as on NFS, none ever is, and so no leftover is removed.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        held = False
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, how)
            held = True
        yield held
    finally:
        os.close(descriptor)


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
