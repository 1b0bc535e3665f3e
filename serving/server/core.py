"""The models of a server, as its configuration says: TensorFlow Serving's ServerCore in small."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import message, text_format
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving import errors
from serving.saved_model import SessionModel
from serving.server import request_log
from serving.server.manager import Load, Loaded, ModelManager, load_by_itself

_logger = logging.getLogger(__name__)
_PLATFORM = "tensorflow"


class ServerCore:
    """Holds a manager for each configured model.

    Args:
        allow_version_labels_for_unavailable_models: Whether a new label may precede the load of its version.
        loaded: As in `ModelManager`.
        load: As in `ModelManager`.
    """

    def __init__(
        self,
        *,
        allow_version_labels_for_unavailable_models: bool = False,
        load: Load = load_by_itself,
        loaded: Loaded = lambda folder, seconds: None,
    ) -> None:
        self._allow_unavailable = allow_version_labels_for_unavailable_models
        self._load = load
        self._loaded = loaded
        self._managers: dict[str, ModelManager] = {}
        self._request_logs: dict[str, request_log.RequestLog] = {}
        self._changing = threading.Lock()

    @property
    def models(self) -> dict[str, ModelManager]:
        """The manager of each model by name."""
        return dict(self._managers)

    @property
    def available(self) -> bool:
        """Whether there are models, and each has a version that serves."""
        managers = self.models.values()
        return bool(managers) and all(manager.version is not None for manager in managers)

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Take a configuration over: move labels, then load what it adds, then unload what it drops.

        Raises:
            InvalidRequest: The configuration is not usable; nothing changes.
            LabelUnavailable: A label is for a version that does not serve yet; nothing changes.
            ModelNotLoadable: No version of a model that was added can be loaded; all else is done.
        """
        _check(config)
        with self._changing:
            before = self._managers
            managers = {model.name: self._manager(model) for model in config.model_config_list.config}
            for model in config.model_config_list.config:
                managers[model.name].check_labels(
                    model.version_labels, allow_unavailable=self._allow_unavailable
                )
            for model in config.model_config_list.config:
                managers[model.name].policy = model.model_version_policy
                managers[model.name].labels = dict(model.version_labels)
            self._managers = managers
            self._log_requests(config)
            for name, manager in before.items():
                if managers.get(name) is not manager:
                    manager.close()
            self._poll()
            broken = [
                f"{{{name} due to error: {next(iter(states.values())).message}}}"
                for name in sorted(managers.keys() - before.keys())
                if managers[name].version is None and (states := managers[name].states)
            ]
            if broken:
                raise errors.ModelNotLoadable(
                    f"{len(broken)} model(s) did not become available: {{{', '.join(broken)}}}"
                )

    def log(self, kind: str, name: str, request: message.Message, response: message.Message) -> None:
        """Log a call that was answered, if the configuration of its model asks for it.

        Args:
            kind: Field of PredictionLog, such as `predict_log`.
            name: Of the model.
            request: As it came.
            response: What it got.
        """
        found = self._request_logs.get(name)
        if found is not None:
            found.offer(kind, request, response)

    def poll(self) -> None:
        """Look at every model's folder once, and switch versions where something changed."""
        with self._changing:
            self._poll()

    @contextlib.contextmanager
    def servable(self, spec: model_pb2.ModelSpec) -> Iterator[tuple[int, SessionModel]]:
        """Lend the version that a request asks for, and its model.

        Raises:
            InvalidRequest: The spec has no name, or a label that is not known.
            ModelNotFound: It is not available.
        """
        if not spec.name:
            raise errors.InvalidRequest("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        version = spec.version.value if choice == "version" else None
        label = spec.version_label if choice == "version_label" else None
        manager = self._managers.get(spec.name)
        if manager is None:
            if label is not None:
                raise errors.InvalidRequest(f"Unrecognized servable version label: {label}")
            which = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            raise errors.ModelNotFound(f"Servable not found for request: {which}")
        with manager.servable(version, label) as lent:
            yield lent

    def close(self, timeout: float | None = None) -> None:
        """Unload everything; requests that still run after `timeout` seconds are cancelled."""
        with self._changing:
            for manager in self._managers.values():
                manager.close(timeout)
            for log in self._request_logs.values():
                log.close()
            self._request_logs = {}

    def _log_requests(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Begin the logs that a configuration adds, and end those that it drops."""
        before = self._request_logs
        logs = {}
        for model in config.model_config_list.config:
            if model.HasField("logging_config"):
                log = before.get(model.name)
                if log is None or log.config != model.logging_config:
                    log = request_log.RequestLog(model.logging_config)
                logs[model.name] = log
        self._request_logs = logs
        for name, log in before.items():
            if logs.get(name) is not log:
                log.close()

    def _poll(self) -> None:
        for manager in self._managers.values():
            try:
                manager.poll()
            except OSError as error:
                _logger.error("cannot look into %s: %s", manager.base_path, error)

    def _manager(self, model: model_server_config_pb2.ModelConfig) -> ModelManager:
        """Return the manager that a model has already, or a new one."""
        manager = self._managers.get(model.name)
        if manager is not None and manager.base_path == Path(model.base_path):
            return manager
        return ModelManager(model.name, model.base_path, load=self._load, loaded=self._loaded)


def read_model_config(path: str | Path) -> model_server_config_pb2.ModelServerConfig:
    """Read a `--model_config_file`.

    Raises:
        InvalidRequest: It is not there, or no ModelServerConfig in protobuf's text format.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (OSError, text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(f"{path} is no model config file: {error}") from error


def _check(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Refuse what TensorFlow Serving refuses."""
    if config.WhichOneof("config") == "custom_model_config":
        raise errors.InvalidRequest("custom_model_config is not supported")
    names = [model.name for model in config.model_config_list.config]
    for name in names:
        if names.count(name) > 1:
            raise errors.InvalidRequest(f"Illegal to list model {name} multiple times in config list")
    for model in config.model_config_list.config:
        if not model.name:
            raise errors.InvalidRequest("Expected model to have name specified.")
        if not Path(model.base_path).is_absolute():
            raise errors.InvalidRequest(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()="
                f"{model.base_path}"
            )
        if model.HasField("logging_config") and (wrong := request_log.check(model.logging_config)):
            raise errors.ModelNotFound(wrong)
        platform = _platform(model)
        if platform != _PLATFORM:
            raise errors.InvalidRequest(f"Model {model.name} requests unsupported platform {platform}")


def _platform(model: model_server_config_pb2.ModelConfig) -> str:
    """Return the platform, by whichever of its two fields is set."""
    if model.model_type and model.model_platform:
        raise errors.InvalidRequest(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform."
        )
    if model.model_type == model_server_config_pb2.TENSORFLOW:
        return _PLATFORM
    if model.model_type:
        raise errors.InvalidRequest(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    if not model.model_platform:
        raise errors.InvalidRequest(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform."
        )
    return model.model_platform
