"""From what the user gave, if anything, to a folder with the three data files."""

import contextlib
import dataclasses
import datetime
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from components.ratings_example_gen import spans
from pipeline.dataset import archive, download, generated, layout
from pipeline.dataset.errors import DatasetError

_GENERATED_PREFIX = "generated-"
_MAX_NAME = 100  # characters


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that is ready to be read."""

    name: str  # of the run folder; letters, digits, ".", "_", "-"; begins with "generated-" iff generated
    folder: Path  # absolute; holds ratings.dat, movies.dat and users.dat, or folders of days
    last_day: datetime.date | None  # of a folder of days; None for a flat dataset
    generated: bool
    noise_floor_rmse: float | None  # stars; None where it is not known
    origin: str  # where the data come from, for people


def resolve(data: str | None, *, cache_dir: Path, work_dir: Path, notify: Callable[[str], None]) -> Dataset:
    """Find, unpack, download or generate the dataset of a run.

    Every file appears whole or not at all, so that a killed call leaves nothing that a later one trips
    over; calls at the same time wait for each other.

    Args:
        data: A folder or zip that holds the three data files, at its top or in one sub-folder, or a folder of
            days (`components.ratings_example_gen.spans`). None or "" stands for MovieLens 1M: from
            `cache_dir`, else downloaded, else, where there is no network, generated data of the same size.
        cache_dir: Keeps what was downloaded or generated.
        work_dir: Takes unpacked zips, as `<name>/<digest of the zip>/`.
        notify: Told, in one sentence, what takes time or is not what was asked for.

    Returns:
        The dataset.

    Raises:
        DatasetError: The data cannot be used.
    """
    if data:
        return _from_path(Path(os.path.abspath(os.path.expanduser(data))), work_dir, notify)
    with _locked(cache_dir, notify):
        try:
            path, is_new = download.movielens_zip(cache_dir, notify)
        except download.UnreachableError as error:
            return _fallback(cache_dir, notify, str(error))
    origin = f"MovieLens 1M, {'downloaded from' if is_new else 'cached from'} {download.MOVIELENS_URL}"
    return _from_zip(path, work_dir, notify, origin=origin)


def _from_path(path: Path, work_dir: Path, notify: Callable[[str], None]) -> Dataset:
    """Return the dataset that the user named."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} does not exist: DATA takes a folder, or a zip, that holds "
            f"{layout.listing(layout.DATA_FILES)}."
        ) from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if stat.S_ISDIR(mode):
        return _from_folder(path)
    if stat.S_ISREG(mode):
        return _from_zip(path, work_dir, notify, origin=str(path))
    raise DatasetError(f"{path} is neither a file nor a folder: DATA takes a folder or a zip.")


def _from_folder(path: Path) -> Dataset:
    """Return the dataset that lies in the folder, or in one of its sub-folders."""
    try:
        entries = sorted(path.iterdir())
        days = [day for entry in entries if entry.is_dir() and (day := spans.day(entry.name))]
        candidates = [folder for folder in (path, *entries) if (folder / layout.RATINGS_FILE).is_file()]
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise DatasetError(f"{path}: {error}.") from error
    if days:
        if path in candidates:
            raise DatasetError(f"{path} holds {layout.RATINGS_FILE} and folders of days: remove one of them.")
        return _from_days(path, max(days))
    if not candidates:
        raise DatasetError(
            f"{path} holds no {layout.RATINGS_FILE}, itself or in a sub-folder; it holds "
            f"{layout.listing(entry.name for entry in entries)}."
        )
    folder = candidates[0]
    if folder != path and len(candidates) > 1:
        raise DatasetError(
            f"{path} holds several datasets ({layout.listing(entry.name for entry in candidates)}): name one."
        )
    for name in layout.DATA_FILES:
        file = folder / name
        if not file.is_file():
            raise DatasetError(f"{folder} holds {layout.RATINGS_FILE} but no {name}: put it there.")
        if file.stat().st_size == 0:
            raise DatasetError(f"{file} is empty (0 bytes): copy or download it again.")
        if not os.access(file, os.R_OK):
            raise DatasetError(f"{file} cannot be read: you lack the permission.")
    return _dataset(folder, given_name=path.name, marker=layout.read_marker(folder), origin=str(path))


def _from_days(path: Path, last_day: datetime.date) -> Dataset:
    """Return the dataset of a folder of days; which of them are there and usable, each run looks at anew."""
    marker = layout.read_marker(path)
    if marker is not None:
        # The days of generated data have a run folder of their own, beside that of the flat files.
        marker = dataclasses.replace(marker, name=path.name)
    return dataclasses.replace(
        _dataset(path, given_name=path.name, marker=marker, origin=str(path)), last_day=last_day
    )


def _from_zip(path: Path, work_dir: Path, notify: Callable[[str], None], *, origin: str) -> Dataset:
    """Return the dataset that the zip holds, unpacked."""
    opened = archive.open_archive(path)
    parent = work_dir.absolute() / _run_name(path.stem, opened.marker)
    with _locked(parent, notify):
        folder = archive.unpack(opened, parent)
    return _dataset(folder, given_name=path.stem, marker=opened.marker, origin=origin)


def _fallback(cache_dir: Path, notify: Callable[[str], None], reason: str) -> Dataset:
    """Return generated data of MovieLens 1M's size, and say so."""
    folder = cache_dir.absolute() / generated.dataset_name(
        ratings=generated.RATINGS, users=generated.USERS, movies=generated.MOVIES, seed=generated.SEED
    )
    notify(
        f"No MovieLens 1M: {reason}. Using generated data of the same shape and format instead "
        f"({generated.RATINGS:,} ratings, seed {generated.SEED}); for real ratings pass DATA=<folder or zip>."
    )
    if not _is_complete(folder):
        shutil.rmtree(folder, ignore_errors=True)
        generated.generate(folder)
    return _dataset(
        folder,
        given_name=folder.name,
        marker=layout.read_marker(folder),
        origin=f"generated with seed {generated.SEED}, as {reason}",
    )


def _is_complete(folder: Path) -> bool:
    """Say whether the folder is what today's generator would write."""
    try:
        marker = layout.read_marker(folder)
    except DatasetError:
        return False
    return (
        marker is not None
        and marker.generator_version == generated.GENERATOR_VERSION
        and marker.matches(folder)
    )


def _dataset(folder: Path, *, given_name: str, marker: layout.Marker | None, origin: str) -> Dataset:
    """Put the dataset together."""
    # Once a file was edited, the floor is no longer that of its ratings.
    is_as_written = marker is not None and marker.matches(folder)
    return Dataset(
        name=_run_name(given_name, marker),
        folder=folder,
        last_day=None,
        generated=marker is not None,
        noise_floor_rmse=marker.noise_floor_rmse if marker is not None and is_as_written else None,
        origin=origin,
    )


def _run_name(given_name: str, marker: layout.Marker | None) -> str:
    """Return a name safe for a folder, such that real and generated data never have the same."""
    text = given_name if marker is None else marker.name
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_text).strip("-.")[:_MAX_NAME] or "data"
    if marker is None:
        return f"data-{name}" if name.startswith(_GENERATED_PREFIX) else name
    return name if name.startswith(_GENERATED_PREFIX) else f"{_GENERATED_PREFIX}{name}"


@contextlib.contextmanager
def _locked(folder: Path, notify: Callable[[str], None]) -> Iterator[None]:
    """Make the folder and hold its lock, which a killed process gives back."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            notify(f"Waiting for another run that prepares data in {folder}.")
            lock.acquire()
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()
