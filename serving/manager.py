"""Which version of a model is loaded: look at the serving folder, load beside, switch, unload."""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from tensorflow_serving.apis import get_model_status_pb2

from serving import errors, versions, warmup
from serving.predict import predict
from serving.saved_model import SessionModel

_logger = logging.getLogger(__name__)
_State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass(frozen=True)
class VersionState:
    """How far a version has come, in the terms of TensorFlow Serving's ModelVersionStatus."""

    state: int
    code: int = grpc.StatusCode.OK.value[0]  # of the last load
    message: str = ""


class ModelManager:
    """Keeps the newest version that loads available to requests.

    A newer version is loaded and warmed up beside the one that serves, takes over at once, and the old one
    is freed after its last request. A version that fails to load is passed over, and tried again when its
    files change. An emptied folder changes nothing. If the newest version is removed, the newest of the
    others takes over.

    Args:
        model_name: Name that requests ask for.
        base_path: The serving folder; it may still be missing or empty.
    """

    def __init__(self, model_name: str, base_path: str | Path) -> None:
        self.model_name = model_name
        self.base_path = Path(base_path)
        self._current: _Servable | None = None
        self._states: dict[int, VersionState] = {}
        self._broken: dict[int, frozenset[tuple[str, int, int]]] = {}
        self._changed = threading.Condition()

    @property
    def version(self) -> int | None:
        """The version that serves."""
        current = self._current
        return None if current is None else current.version

    @property
    def states(self) -> dict[int, VersionState]:
        """Every version that was ever looked at."""
        with self._changed:
            return dict(self._states)

    @contextlib.contextmanager
    def servable(self, version: int | None = None) -> Iterator[tuple[int, SessionModel]]:
        """Lend a version and its model, which stays loaded for as long as it is lent.

        Args:
            version: The one that is wanted; None for the newest.

        Raises:
            ModelNotFound: It is not available.
        """
        with self._changed:
            lent = self._current
            if lent is None or version not in (None, lent.version):
                which = (
                    f"Latest({self.model_name})"
                    if version is None
                    else f"Specific({self.model_name}, {version})"
                )
                raise errors.ModelNotFound(f"Servable not found for request: {which}")
            lent.users += 1
        try:
            yield lent.version, lent.model
        finally:
            with self._changed:
                lent.users -= 1
                self._changed.notify_all()

    def poll(self) -> None:
        """Look at the folder once, and switch if something newer is there; for one thread only."""
        for version in reversed(versions.versions(self.base_path)):
            if version == self.version:
                return
            contents = _contents(self.base_path / str(version))
            if self._broken.get(version) == contents:
                continue
            model = self._load(version)
            if model is None:
                self._broken[version] = contents
            else:
                self._switch(_Servable(version, model))
                return

    def close(self, timeout: float | None = None) -> None:
        """Unload.

        Args:
            timeout: Seconds to wait for requests that still run; after them they are cancelled.
        """
        self._switch(None, timeout)

    def _load(self, version: int) -> SessionModel | None:
        """Load and warm up, or record why not."""
        folder = self.base_path / str(version)
        start = time.monotonic()
        self._set(version, VersionState(_State.LOADING))
        model = None
        try:
            model = SessionModel(folder)
            warmed = _warm_up(model, folder / warmup.REQUESTS)
        except errors.ServingError as error:
            if model is not None:
                model.close()
            code = getattr(error.__cause__, "error_code", None) or grpc.StatusCode.UNKNOWN.value[0]
            self._set(version, VersionState(_State.END, code, str(error)))
            serving = f"version {self.version} stays" if self.version is not None else "nothing is served"
            _logger.error("%s version %d not loaded, %s: %s", self.model_name, version, serving, error)
            return None
        seconds = time.monotonic() - start
        _logger.info(
            "%s version %d loaded in %.1f s, %d warm-up requests", self.model_name, version, seconds, warmed
        )
        return model

    def _switch(self, new: "_Servable | None", timeout: float | None = None) -> None:
        """Make a servable the current one, then wait out the requests on the old one and free it."""
        with self._changed:
            old, self._current = self._current, new
            if new is not None:
                self._states[new.version] = VersionState(_State.AVAILABLE)
            if old is not None:
                self._states[old.version] = VersionState(_State.UNLOADING)
                self._changed.wait_for(lambda: not old.users, timeout)
        if old is not None:
            old.model.close()
            self._set(old.version, VersionState(_State.END))
            _logger.info("%s version %d unloaded", self.model_name, old.version)

    def _set(self, version: int, state: VersionState) -> None:
        with self._changed:
            self._states[version] = state


@dataclasses.dataclass
class _Servable:
    version: int
    model: SessionModel
    users: int = 0


def _warm_up(model: SessionModel, path: Path) -> int:
    """Run the warm-up requests of a version; one that fails fails the version."""
    if not path.is_file():
        return 0
    count = 0
    for log in warmup.read_warmup_requests(path):
        if log.WhichOneof("log_type") != "predict_log":
            raise errors.ModelNotLoadable(f"Unsupported log_type for warmup: {log.WhichOneof('log_type')}")
        predict(model, log.predict_log.request)
        count += 1
    return count


def _contents(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Return what tells one state of a folder's files from another."""
    stats = ((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    return frozenset((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
