"""What TFX calls a file system, for `s3://`: TensorFlow has none any more. Importing this registers it.

TensorFlow itself opens `gs://`, and a back end copies artifacts to a container's disk; so this serves
the folder of the ratings. Address and keys come from the environment, as for every AWS client:
AWS_ENDPOINT_URL (of MinIO, say), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

from collections.abc import Callable, Iterable
from typing import Any

import fsspec
from tfx.dsl.io import filesystem, filesystem_registry

_PROTOCOL = "s3"
_BEFORE_TENSORFLOW = 5  # priority: TFX gives TensorFlow's, which claims the scheme too, 10


def _store() -> fsspec.AbstractFileSystem:
    """Return the client, of which there is one for each process and thread that asks."""
    # What a listing said a minute ago may not hold: a late day arrives.
    return fsspec.filesystem(_PROTOCOL, use_listings_cache=False)


def _text(path: filesystem.PathType) -> str:
    return path.decode() if isinstance(path, bytes) else path


class ObjectStore(filesystem.Filesystem):
    """Files and folders of a store that speaks S3; a folder is there as long as something is in it."""

    SUPPORTED_SCHEMES = [f"{_PROTOCOL}://"]  # noqa: RUF012

    @staticmethod
    def open(name: filesystem.PathType, mode: str = "r") -> Any:
        """Open a file; it appears whole when it is closed.

        Raises:
          FileNotFoundError: it is to be read and is not there.
          PermissionError: the store refuses.
        """
        return _store().open(_text(name), mode)

    @staticmethod
    def copy(src: filesystem.PathType, dst: filesystem.PathType, overwrite: bool = False) -> None:
        """Copy a file.

        Raises:
          OSError: the target exists, and is not to be overwritten.
        """
        if not overwrite and _store().exists(_text(dst)):
            raise OSError(f"{_text(dst)} exists")
        _store().cp_file(_text(src), _text(dst))

    @staticmethod
    def exists(path: filesystem.PathType) -> bool:
        """Return whether there is such a file or folder."""
        return bool(_store().exists(_text(path)))

    @staticmethod
    def glob(pattern: filesystem.PathType) -> list[filesystem.PathType]:
        """Return the paths that match a pattern."""
        return [_store().unstrip_protocol(path) for path in _store().glob(_text(pattern))]

    @staticmethod
    def isdir(path: filesystem.PathType) -> bool:
        """Return whether something lies below a path."""
        return bool(_store().isdir(_text(path)))

    @staticmethod
    def listdir(path: filesystem.PathType) -> list[filesystem.PathType]:
        """Return the names of what lies in a folder.

        Raises:
          NotFoundError: there is no such folder.
        """
        try:
            found = _store().ls(_text(path), detail=False)
        except FileNotFoundError as error:
            raise filesystem.NotFoundError("there is no such folder") from error
        folder = _store()._strip_protocol(_text(path))
        return [entry.rsplit("/", 1)[-1] for entry in found if entry.rstrip("/") != folder]

    @staticmethod
    def makedirs(path: filesystem.PathType) -> None:
        """Do nothing: a folder comes with its first file."""

    @staticmethod
    def mkdir(path: filesystem.PathType) -> None:
        """Do nothing: a folder comes with its first file."""

    @staticmethod
    def remove(path: filesystem.PathType) -> None:
        """Remove a file."""
        _store().rm_file(_text(path))

    @staticmethod
    def rename(src: filesystem.PathType, dst: filesystem.PathType, overwrite: bool = False) -> None:
        """Copy a file, then remove it: no store renames.

        Raises:
          OSError: the target exists, and is not to be overwritten.
        """
        ObjectStore.copy(src, dst, overwrite)
        ObjectStore.remove(src)

    @staticmethod
    def rmtree(path: filesystem.PathType) -> None:
        """Remove all that lies below a path."""
        _store().rm(_text(path), recursive=True)

    @staticmethod
    def stat(path: filesystem.PathType) -> Any:
        """Return what the store says of a file, as a dict."""
        return _store().info(_text(path))

    @staticmethod
    def walk(
        top: filesystem.PathType, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterable[tuple[filesystem.PathType, list[filesystem.PathType], list[filesystem.PathType]]]:
        """Yield each folder with the names of the folders and files in it."""
        for folder, folders, files in _store().walk(_text(top), topdown=topdown):
            yield _store().unstrip_protocol(folder), list(folders), list(files)


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(ObjectStore, priority=_BEFORE_TENSORFLOW)
