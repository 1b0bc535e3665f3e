"""Which versions of a model are loaded: look at the serving folder, load beside, switch, unload."""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import grpc
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2

from serving import errors, versions, warmup
from serving.saved_model import SessionModel
from serving.server.predict import predict

_logger = logging.getLogger(__name__)
_State = get_model_status_pb2.ModelVersionStatus.State
Policy: TypeAlias = (
    file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
)


Loaded: TypeAlias = Callable[[str, float | None], None]
Load: TypeAlias = Callable[[str, Path], SessionModel]


def load_by_itself(model_name: str, folder: Path) -> SessionModel:
    """Load a version that runs each request by itself."""
    return SessionModel(folder)


@dataclasses.dataclass(frozen=True)
class VersionState:
    """How far a version has come, in the terms of TensorFlow Serving's ModelVersionStatus."""

    state: int
    code: int = grpc.StatusCode.OK.value[0]  # of the last load
    message: str = ""


class ModelManager:
    """Keeps the versions that its policy asks for available to requests.

    A version is loaded and warmed up beside those that serve, and one that is no longer asked for is freed
    after its last request, but never before one that is asked for serves. A version that fails to load is
    passed over, and tried again when its files change. An emptied folder changes nothing.

    Args:
        model_name: Name that requests ask for.
        base_path: The serving folder; it may still be missing or empty.
        policy: Which versions; the latest alone if not given.
        loaded: Told, at each attempt to load a version, its folder and the seconds it took, or None if it
            failed.
        load: Loads the model of a name and a version's folder, or raises ModelNotLoadable.
    """

    def __init__(
        self,
        model_name: str,
        base_path: str | Path,
        policy: Policy | None = None,
        loaded: Loaded = lambda folder, seconds: None,
        load: Load = load_by_itself,
    ) -> None:
        self.model_name = model_name
        self.base_path = Path(base_path)
        self.policy = Policy() if policy is None else policy
        self._loaded = loaded
        self.labels: Mapping[str, int] = {}
        self._load_model = load
        self._servables: dict[int, _Servable] = {}
        self._states: dict[int, VersionState] = {}
        self._broken: dict[int, frozenset[tuple[str, int, int]]] = {}
        self._changed = threading.Condition()

    @property
    def version(self) -> int | None:
        """The newest version that serves."""
        with self._changed:
            return max(self._servables, default=None)

    @property
    def available(self) -> list[int]:
        """The versions that serve."""
        with self._changed:
            return sorted(self._servables)

    @property
    def models(self) -> dict[int, SessionModel]:
        """The model of each version that serves."""
        with self._changed:
            return {version: servable.model for version, servable in self._servables.items()}

    @property
    def states(self) -> dict[int, VersionState]:
        """Every version that was ever looked at."""
        with self._changed:
            return dict(self._states)

    def check_labels(self, labels: Mapping[str, int], *, allow_unavailable: bool = False) -> None:
        """Hold labels to the versions that serve.

        Args:
            labels: The version of each label.
            allow_unavailable: Whether a label that is not in use may precede the load of its version.

        Raises:
            LabelUnavailable: A label is for a version that does not serve.
        """
        available = self.available
        for label, version in labels.items():
            if version in available or (allow_unavailable and self.labels.get(label, version) == version):
                continue
            raise errors.LabelUnavailable(
                f"Request to assign label to version {version} of model {self.model_name}, which is not "
                "currently available for inference"
            )

    @contextlib.contextmanager
    def servable(
        self, version: int | None = None, label: str | None = None
    ) -> Iterator[tuple[int, SessionModel]]:
        """Lend a version and its model, which stays loaded for as long as it is lent.

        Args:
            version: The one that is wanted; None for the newest.
            label: Label of the one that is wanted, in place of its number.

        Raises:
            ModelNotFound: It is not available.
            InvalidRequest: There is no such label.
        """
        with self._changed:
            if label is not None:
                if label not in self.labels:
                    raise errors.InvalidRequest(f"Unrecognized servable version label: {label}")
                version = self.labels[label]
            wanted = max(self._servables, default=None) if version is None else version
            lent = self._servables.get(wanted) if wanted is not None else None
            if lent is None:
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
        """Look at the folder once, load what is missing and free what is not wanted; for one thread only."""
        there = versions.versions(self.base_path)
        wanted = self._wanted(there)
        for version in wanted:
            if version in self._servables or self._is_broken(version):
                continue
            contents = _contents(self.base_path / str(version))
            model = self._load(version)
            if model is None:
                self._broken[version] = contents
                return self.poll()
            with self._changed:
                self._servables[version] = _Servable(version, model)
                self._states[version] = VersionState(_State.AVAILABLE)
        if wanted and self._servables.keys() & set(wanted):
            for version in sorted(self._servables.keys() - set(wanted)):
                self._unload(version)

    def close(self, timeout: float | None = None) -> None:
        """Unload everything.

        Args:
            timeout: Seconds to wait for requests that still run; after them they are cancelled.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for version in sorted(self._servables):
            self._unload(version, None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _wanted(self, there: list[int]) -> list[int]:
        """Return the versions that the policy asks for, newest first."""
        choice = self.policy.WhichOneof("policy_choice")
        if choice == "specific":
            return sorted(set(self.policy.specific.versions) & set(there), reverse=True)
        if choice == "all":
            return sorted(there, reverse=True)
        sound = [version for version in reversed(there) if not self._is_broken(version)]
        return sound[: self.policy.latest.num_versions or 1]

    def _is_broken(self, version: int) -> bool:
        """Return whether a version failed to load and has the same files still."""
        broken = self._broken.get(version)
        return broken is not None and broken == _contents(self.base_path / str(version))

    def _load(self, version: int) -> SessionModel | None:
        """Load and warm up, or record why not."""
        folder = self.base_path / str(version)
        start = time.monotonic()
        self._set(version, VersionState(_State.LOADING))
        model = None
        try:
            model = self._load_model(self.model_name, folder)
            warmed = _warm_up(model, folder / warmup.REQUESTS)
        except errors.ServingError as error:
            if model is not None:
                model.close()
            self._loaded(str(folder), None)
            code = getattr(error.__cause__, "error_code", None) or grpc.StatusCode.UNKNOWN.value[0]
            self._set(version, VersionState(_State.END, code, str(error)))
            serving = f"version {self.version} stays" if self.version is not None else "nothing is served"
            _logger.error("%s version %d not loaded, %s: %s", self.model_name, version, serving, error)
            return None
        seconds = time.monotonic() - start
        self._loaded(str(folder), seconds)
        _logger.info(
            "%s version %d loaded in %.1f s, %d warm-up requests", self.model_name, version, seconds, warmed
        )
        return model

    def _unload(self, version: int, timeout: float | None = None) -> None:
        """Take a version away from new requests, wait out those that run, and free it."""
        with self._changed:
            servable = self._servables.pop(version)
            self._states[version] = VersionState(_State.UNLOADING)
            self._changed.wait_for(lambda: not servable.users, timeout)
        servable.model.close()
        self._set(version, VersionState(_State.END))
        _logger.info("%s version %d unloaded", self.model_name, version)

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
