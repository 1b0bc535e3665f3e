"""MovieLens 1M from GroupLens: cached, or downloaded with its checksum verified."""

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.dataset.errors import DatasetError

MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
MOVIELENS_MD5 = "c4d9eecfca2ab87c1945afe126590906"
ZIP_NAME = "ml-1m.zip"

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_RETRIES = 1
_CHUNK_BYTES = 1 << 16

# Answers that a proxy or a gateway gives in place of the server, which was not reached.
_NOT_FROM_THE_SERVER = frozenset({403, 407, 429, 502, 503, 504, 511})


class UnreachableError(Exception):
    """There is no way to the server: no network, no name service, or a proxy that refuses."""


def movielens_zip(cache_dir: Path, notify: Callable[[str], None]) -> tuple[Path, bool]:
    """Return MovieLens 1M's zip from the cache, downloading it first where it is not there.

    Args:
        cache_dir: Folder that keeps the zip; no other process may be downloading into it.
        notify: Told before a download begins.

    Returns:
        The zip's path, its checksum verified, and whether it has just been downloaded.

    Raises:
        UnreachableError: The zip is not in the cache and the server cannot be reached.
        DatasetError: The zip in the cache, or what was downloaded, is another file than expected.
    """
    path = cache_dir / ZIP_NAME
    try:
        if path.is_file():
            _verify_cached(path)
            return path, False
        notify(f"Downloading MovieLens 1M from {MOVIELENS_URL}.")
        # What a killed download left behind lies in this folder, never at `path`.
        staging = cache_dir / ".download"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            _download(staging)
            (staging / ZIP_NAME).replace(path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise DatasetError(
            f"MovieLens 1M cannot be fetched from {MOVIELENS_URL} into {cache_dir}: {error}."
        ) from error
    return path, True


def _verify_cached(path: Path) -> None:
    """Raise where the file is not the official zip."""
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 != MOVIELENS_MD5:
        raise DatasetError(
            f"{path} has md5 {md5}, but MovieLens 1M has {MOVIELENS_MD5}: delete the file to download it "
            f"again, or pass it with DATA={path} if it is meant."
        )


def _download(folder: Path) -> None:
    """Download the zip into the folder; raise as `movielens_zip` does."""
    # Imported late: both are slow to import and most runs have the data already.
    import pooch  # noqa: PLC0415
    import requests  # noqa: PLC0415

    pooch.get_logger().setLevel(logging.WARNING)
    fetcher = pooch.create(
        path=folder,
        base_url="",
        registry={ZIP_NAME: f"md5:{MOVIELENS_MD5}"},
        urls={ZIP_NAME: MOVIELENS_URL},
        retry_if_failed=_RETRIES,
    )
    downloader = pooch.HTTPDownloader(
        progressbar=False, chunk_size=_CHUNK_BYTES, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)
    )
    host = urlsplit(MOVIELENS_URL).hostname
    try:
        fetcher.fetch(ZIP_NAME, downloader=downloader)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in _NOT_FROM_THE_SERVER:
            raise UnreachableError(f"{host} could not be reached (HTTP status {status})") from error
        raise DatasetError(
            f"{MOVIELENS_URL} answered with HTTP status {status}: download MovieLens 1M by hand and pass it "
            "with DATA=<folder or zip>."
        ) from error
    except requests.RequestException as error:
        raise UnreachableError(f"{host} could not be reached ({_reason(error)})") from error
    except ValueError as error:
        # This is how pooch reports a hash mismatch; it has deleted the file.
        raise DatasetError(
            f"What {MOVIELENS_URL} sent does not have MovieLens 1M's md5 {MOVIELENS_MD5}: try again later, "
            "or download it by hand and pass it with DATA=<folder or zip>."
        ) from error


def _reason(error: Exception) -> str:
    """Name the failure in one or two words, without urllib3's nested representation."""
    name = type(error).__name__
    if "resolve" in str(error).lower() or "getaddrinfo" in str(error).lower():
        return "its name does not resolve"
    return {
        "ProxyError": "the proxy refuses",
        "ConnectTimeout": "no answer in time",
        "ReadTimeout": "no answer in time",
        "SSLError": "no trusted certificate",
        "ConnectionError": "no connection",
        "ChunkedEncodingError": "the connection broke",
    }.get(name, name)
