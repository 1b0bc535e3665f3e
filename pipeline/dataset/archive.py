"""A dataset's zip, unpacked once for each content."""

import dataclasses
import errno
import hashlib
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from pipeline.dataset import layout
from pipeline.dataset.errors import DatasetError
from pipeline.dataset.staging import staged_folder

# Taken along where the zip has them, next to the data files.
_OPTIONAL_FILES = ("README", layout.MARKER_FILE)
_CHUNK_BYTES = 1 << 20
_DIGEST_LENGTH = 16
_MAX_MARKER_BYTES = 1 << 16
_ZIP_MAGIC = b"PK\x03\x04"
# What zipfile raises on damaged input, as seen by damaging every byte of a zip.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, ValueError)
_ENCRYPTED = 0x1  # of a member's general purpose flags, PKWARE APPNOTE 4.4.4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip that holds a dataset."""

    path: Path
    sha256: str
    members: dict[str, zipfile.ZipInfo]  # by the name of the file to write
    marker: layout.Marker | None  # of a generated dataset


def open_archive(path: Path) -> Archive:
    """Check a zip's directory and find the dataset's files in it.

    The files lie at the top or together in one folder. Only members with exactly those names count, so
    that a name that leads elsewhere (`../`, an absolute path) is never followed.

    Args:
        path: The zip.

    Returns:
        The archive, ready for `unpack`.

    Raises:
        DatasetError: The file is no readable zip, or holds no dataset.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_ZIP_MAGIC))
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not magic:
            raise DatasetError(f"{path} is empty (0 bytes): copy or download it again.")
        with zipfile.ZipFile(path) as archive:
            members = _find_members(path, archive.infolist())
            marker = _read_marker(path, archive, members)
    except NotImplementedError as error:
        raise _unsupported(path, error) from error
    except _DAMAGE as error:
        if magic == _ZIP_MAGIC:
            raise _damaged(path, error) from error
        raise DatasetError(
            f"{path} is no zip file: DATA takes a folder, or a zip, that holds "
            f"{layout.listing(layout.DATA_FILES)}."
        ) from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}.") from error
    return Archive(path=path, sha256=sha256, members=members, marker=marker)


def unpack(archive: Archive, parent: Path) -> Path:
    """Unpack a dataset's files into a folder that is named by the zip's content.

    The folder appears whole or not at all, whenever the process is killed. One that is there already is
    used again if every file in it still has the size and the CRC-32 that the zip records.

    Args:
        archive: The zip.
        parent: The folder to unpack into; no other process may be unpacking into it.

    Returns:
        The folder that holds the data files.

    Raises:
        DatasetError: The zip is damaged, or there is no room for its files.
    """
    folder = parent / archive.sha256[:_DIGEST_LENGTH]
    try:
        if all(_is_unpacked(folder / name, member) for name, member in archive.members.items()):
            return folder
        for leftover in parent.glob(".*.partial"):
            shutil.rmtree(leftover)
        parent.mkdir(parents=True, exist_ok=True)
        size = sum(member.file_size for member in archive.members.values())
        free = shutil.disk_usage(parent).free
        if size > free:
            raise DatasetError(
                f"{archive.path} unpacks to {size:,} bytes, but {parent} has {free:,} free: make room there."
            )
        with zipfile.ZipFile(archive.path) as source, staged_folder(folder) as staged:
            for name, member in archive.members.items():
                # zipfile verifies the CRC-32 when it reaches the member's end.
                with source.open(member) as compressed, (staged / name).open("wb") as file:
                    shutil.copyfileobj(compressed, file, _CHUNK_BYTES)
    except NotImplementedError as error:
        raise _unsupported(archive.path, error) from error
    except _DAMAGE as error:
        raise _damaged(archive.path, error) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DatasetError(f"{parent} has no room left for {archive.path}: make room there.") from error
        raise DatasetError(f"{archive.path} cannot be unpacked into {parent}: {error}.") from error
    return folder


def _find_members(path: Path, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return the dataset's members by file name, or raise where there is not exactly one dataset."""
    by_folder: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for info in infos:
        folder, name = PurePosixPath(info.filename).parent, PurePosixPath(info.filename).name
        # A folder's own path is one part long; "." has none, and the parts of "/x" begin with "/".
        if len(folder.parts) > 1 or folder.is_absolute() or ".." in folder.parts or info.is_dir():
            continue
        if name in (*layout.DATA_FILES, *_OPTIONAL_FILES) and not stat.S_ISLNK(info.external_attr >> 16):
            by_folder.setdefault(str(folder), {})[name] = info
    complete = [members for members in by_folder.values() if set(layout.DATA_FILES) <= set(members)]
    if not complete:
        most = max(by_folder.values(), key=len, default={})
        missing = layout.listing([name for name in layout.DATA_FILES if name not in most])
        raise DatasetError(
            f"{path} holds no {missing}, at its top or in one folder; it holds "
            f"{layout.listing([info.filename for info in infos])}."
        )
    if len(complete) > 1:
        raise DatasetError(
            f"{path} holds {len(complete)} datasets in different folders: unpack it and name one."
        )
    for name, member in complete[0].items():
        if member.flag_bits & _ENCRYPTED:
            raise DatasetError(f"{path} is encrypted: unpack it with its password and pass the folder.")
        if member.file_size == 0 and name in layout.DATA_FILES:
            raise DatasetError(f"{member.filename} in {path} is empty (0 bytes): get the zip again.")
    return complete[0]


def _read_marker(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]
) -> layout.Marker | None:
    """Read the marker of a zipped generated dataset."""
    if layout.MARKER_FILE not in members:
        return None
    where = f"{members[layout.MARKER_FILE].filename} in {path}"
    with archive.open(members[layout.MARKER_FILE]) as file:
        content = file.read(_MAX_MARKER_BYTES)
    return layout.parse_marker(content.decode("utf-8", errors="replace"), where)


def _is_unpacked(path: Path, member: zipfile.ZipInfo) -> bool:
    """Say whether the file has the member's size and CRC-32."""
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc == member.CRC


def _damaged(path: Path, error: Exception) -> DatasetError:
    """Return the error for a zip that breaks off or whose content does not match its checksums."""
    return DatasetError(f"{path} is a truncated or damaged zip ({error}): copy or download it again.")


def _unsupported(path: Path, error: Exception) -> DatasetError:
    """Return the error for a zip that needs what Python's zipfile lacks."""
    return DatasetError(f"{path} uses a kind of zip that cannot be read here ({error}): make a plain one.")
