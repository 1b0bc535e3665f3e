"""The numbered versions of a model in its serving folder, `<base_path>/<version>/`.

The folder is the truth: whatever serves or compares models reads it, and `publish` is how a version gets
in. A version appears whole or not at all, and its number is never used again.
"""

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serving import errors

MODEL_NAME = "deepfm"
"""The name that the versions are served under, unless a caller has another."""

SAVED_MODEL = "saved_model.pb"
ASSETS_EXTRA = "assets.extra"
MANIFEST = Path(ASSETS_EXTRA, "manifest.json")
"""The manifest, relative to the version's folder."""

# Keys of the manifest.
PUBLICATION = "publication"
BLESSED = "blessed"  # true where the version passed the gates of quality and serving
_FINGERPRINT = "fingerprint"
# TensorFlow Serving passes over every name that is no number.
_INCOMING = ".incoming-"
_OUTGOING = ".outgoing-"
_LOCK = ".publish.lock"
_LAST_VERSION = ".last-version"


def versions(base_path: str | Path) -> list[int]:
    """Return the complete versions, oldest first; none for a folder that does not exist."""
    base = Path(base_path)
    return [version for version in _numbers(base) if (base / str(version) / SAVED_MODEL).is_file()]


def latest(base_path: str | Path) -> int | None:
    """Return the highest complete version, or None."""
    return max(versions(base_path), default=None)


def manifest(base_path: str | Path, version: int) -> dict[str, Any]:
    """Return what the manifest of a version says; empty if the version came without one.

    Raises:
        ModelNotFound: There is no such version.
        ValueError: The manifest is not a JSON object.
    """
    return _read_manifest(require(base_path, version))


def require(base_path: str | Path, version: int) -> Path:
    """Return the folder of a complete version.

    Raises:
        ModelNotFound: There is no such version.
    """
    folder = Path(base_path, str(version))
    if not (folder / SAVED_MODEL).is_file():
        known = ", ".join(map(str, versions(base_path))) or "none"
        raise errors.ModelNotFound(f"no version {version} in {base_path}; versions there: {known}")
    return folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What the folder of a version tells."""

    manifest: dict[str, Any]
    published: datetime.datetime  # UTC
    bytes: int  # of all its files


def describe(base_path: str | Path, version: int) -> Description:
    """Describe a version.

    Raises:
        ModelNotFound: There is no such version.
        ValueError: The manifest is not a JSON object.
    """
    folder = require(base_path, version)
    return Description(
        manifest=_read_manifest(folder),
        published=datetime.datetime.fromtimestamp((folder / SAVED_MODEL).stat().st_mtime, datetime.UTC),
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def content_fingerprint(folder: str | Path) -> str:
    """Return a SHA-256 over the names and contents of a folder's files, as hex."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0".encode())
            with path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def publication(base_path: str | Path, fingerprint: str) -> str | None:
    """Return which publication the latest version came by, if it has that fingerprint; else None."""
    found = _latest_of(Path(base_path), fingerprint)
    return None if found is None else _read_manifest(Path(base_path, str(found))).get(PUBLICATION)


def publish(
    model_dir: str | Path,
    base_path: str | Path,
    *,
    fingerprint: str,
    entries: Mapping[str, Any] | None = None,
) -> int:
    """Copy a model into the serving folder as its next version.

    The copy is made beside the versions, forced to disk, and renamed into place, so that no server ever
    sees a part of it and a crash at any point leaves either the version or a leftover that the next call
    removes. A call that is repeated after a crash, or made twice at the same time, returns the version that
    is there: what the latest version already is, is not published again.

    Args:
        model_dir: A SavedModel with all that belongs to it; links in it are followed.
        base_path: The serving folder, on a local file system; made if missing.
        fingerprint: Identity of what is published; written into the version's manifest, beside what
            the model's own manifest says.
        entries: What the manifest says beside; `PUBLICATION` is the identity of this publication.

    Returns:
        The version: one more than the highest that ever was.

    Raises:
        ModelNotFound: `model_dir` holds no SavedModel.
        ValueError: The fingerprint is empty.
    """
    source, base = Path(model_dir), Path(base_path)
    if not fingerprint:
        raise ValueError("`fingerprint` must not be empty")
    if not (source / SAVED_MODEL).is_file():
        raise errors.ModelNotFound(f"{source} is not a SavedModel: it has no {SAVED_MODEL}")
    base.mkdir(parents=True, exist_ok=True)
    with locked(base):
        _remove_leftovers(base)
        published = _latest_of(base, fingerprint)
        if published is not None:
            return published
        incoming = base / f"{_INCOMING}{uuid.uuid4().hex}"
        try:
            _copy(source, incoming, {**(entries or {}), _FINGERPRINT: fingerprint})
            version = _rename_to_next(incoming, base)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        replace(base / _LAST_VERSION, str(version))
        return version


def remove(base_path: str | Path, version: int) -> None:
    """Take a version out of the serving folder, whole or not at all; the caller holds the lock.

    Raises:
        ModelNotFound: There is no such version.
    """
    folder = require(base_path, version)
    _remove_leftovers(folder.parent)
    folder.rename(folder.with_name(f"{_OUTGOING}{uuid.uuid4().hex}"))
    _sync_folder(folder.parent)
    _remove_leftovers(folder.parent)


def _remove_leftovers(base: Path) -> None:
    """Remove what a process that died left; under the lock, nothing else is on its way in or out."""
    for name in (_INCOMING, _OUTGOING):
        for leftover in base.glob(f"{name}*"):
            shutil.rmtree(leftover)


def _numbers(base: Path) -> list[int]:
    """Return the numbers of all version folders, complete or not, sorted."""
    if not base.is_dir():
        return []
    names = (entry.name for entry in base.iterdir() if entry.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name, re.ASCII))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must hold a JSON object: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _latest_of(base: Path, fingerprint: str) -> int | None:
    """Return the latest version if it has the fingerprint; one with a broken manifest has none."""
    last = latest(base)
    with contextlib.suppress(ValueError):
        if last is not None and _read_manifest(base / str(last)).get(_FINGERPRINT) == fingerprint:
            return last
    return None


def _copy(source: Path, target: Path, entries: Mapping[str, Any]) -> None:
    """Copy a model and put entries into its manifest, all of it on the disk at the end."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    (target / MANIFEST).parent.mkdir(exist_ok=True)
    content = {**_read_manifest(target), **entries}
    (target / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for folder, _, files in os.walk(target):
        # The source may be read-only, and a folder copies its mode.
        Path(folder).chmod(0o755)
        for file in files:
            with Path(folder, file).open("rb") as opened:
                os.fsync(opened.fileno())
        _sync_folder(Path(folder))


def _rename_to_next(incoming: Path, base: Path) -> int:
    """Rename to the next free number, past any that someone else takes meanwhile."""
    last = base / _LAST_VERSION
    ever = int(last.read_text()) if last.is_file() else 0
    version = max([ever, *_numbers(base)]) + 1
    while True:
        try:
            incoming.rename(base / str(version))
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            version += 1
        else:
            return version


@contextlib.contextmanager
def locked(base: Path) -> Iterator[None]:
    """Hold the serving folder's lock, which ends with the process that holds it."""
    with (base / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace(path: Path, text: str) -> None:
    """Write a small file whole or not at all, for one writer at a time; then it is on the disk."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    # A server may run as another user.
    temporary.chmod(0o644)
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
