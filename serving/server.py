"""A stand-in for TensorFlow Serving, for a laptop: the same gRPC protocol on the same serving folder.

It serves the versions that its configuration asks for, from TensorFlow's own Session loader, and answers
Predict, GetModelMetadata, GetModelStatus, HandleReloadConfigRequest and health checks with TensorFlow
Serving's status codes. It is no rival:
production runs `tensorflow_model_server`, with flags of the same names. It listens on the loopback
interface only.
"""

import argparse
import contextlib
import dataclasses
import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from serving import errors, versions, wire
from serving.core import ServerCore, read_model_config
from serving.predict import predict

_logger = logging.getLogger(__name__)
_SIGNATURE_DEF = "signature_def"
_FLAG_TYPES: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: text.lower() in ("true", "1"),
    Path | None: Path,
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the server needs to know; the fields are named as TensorFlow Serving's flags."""

    model_base_path: Path | None = None  # holds the numbered versions; may still be missing or empty
    model_name: str = versions.MODEL_NAME  # of what is under `model_base_path`
    model_config_file: Path | None = None  # ModelServerConfig as text, in place of the two above
    model_config_file_poll_wait_seconds: float = 0.0  # between two looks at that file; 0 looks once only
    allow_version_labels_for_unavailable_models: bool = False  # a new label may precede its version's load
    port: int = 8500  # 0 to 65535; 0 picks a free one
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)  # requests answered at a time, at least 1
    file_system_poll_wait_seconds: float = 1.0  # between two looks at the folder; 0 looks once only
    drain_seconds: float = 30.0  # for running requests to end after SIGTERM; not TensorFlow Serving's

    def __post_init__(self) -> None:
        if (self.model_base_path is None) == (self.model_config_file is None):
            raise ValueError("give either `model_base_path` or `model_config_file`")
        if not self.model_name:
            raise ValueError("`model_name` must not be empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"`port` must be from 0 to 65535, got {self.port}")
        if self.grpc_max_threads < 1:
            raise ValueError(f"`grpc_max_threads` must be positive, got {self.grpc_max_threads}")
        for name in (
            "model_config_file_poll_wait_seconds",
            "file_system_poll_wait_seconds",
            "drain_seconds",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}")


class Server:
    """Models behind one port, taken when the server is made.

    Args:
        config: See its fields.

    Raises:
        ServingError: The port is taken.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.core = ServerCore(
            allow_version_labels_for_unavailable_models=config.allow_version_labels_for_unavailable_models
        )
        self._health = health.HealthServicer()
        self._set_health()
        self._stopping = threading.Event()
        self._pollers = [
            threading.Thread(target=self._repeat, args=(look, seconds), daemon=True)
            for look, seconds in (
                (self._poll, config.file_system_poll_wait_seconds),
                (self._read_config, config.model_config_file_poll_wait_seconds),
            )
            if seconds
        ]
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(config.grpc_max_threads, thread_name_prefix="grpc"),
            # gRPC lets two servers share a port unless told otherwise.
            options=[*wire.MESSAGE_SIZE_OPTIONS, ("grpc.so_reuseport", 0)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self.core), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(self.core), self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        try:
            self.port: int = self._grpc.add_insecure_port(f"{wire.HOST}:{config.port}")
        except RuntimeError as error:
            raise errors.ServingError(
                f"port {config.port} of {wire.HOST} is taken: stop what listens there, or choose another port"
            ) from error

    def start(self) -> None:
        """Load what is configured, then answer; requests that come meanwhile wait.

        Raises:
            InvalidRequest: The configuration file is not usable.
        """
        with contextlib.suppress(errors.LabelUnavailable):  # it follows once its version is there
            self.core.reload(self._model_config())
        self._set_health()
        for name, manager in self.core.models.items():
            if manager.version is None:
                _logger.warning("no version of %s to serve under %s yet", name, manager.base_path)
        self._grpc.start()
        for poller in self._pollers:
            poller.start()

    def stop(self, grace: float | None = None) -> None:
        """Take no more requests, let those that run end, and unload.

        Args:
            grace: Seconds after which requests that still run are cancelled; None cancels at once.
        """
        deadline = time.monotonic() + (grace or 0.0)
        self._health.enter_graceful_shutdown()
        self._stopping.set()
        self._grpc.stop(grace).wait()
        for poller in self._pollers:
            if poller.is_alive():
                poller.join(max(0.0, deadline - time.monotonic()))
        self.core.close(max(0.0, deadline - time.monotonic()))

    def _model_config(self) -> model_server_config_pb2.ModelServerConfig:
        if self.config.model_config_file is not None:
            return read_model_config(self.config.model_config_file)
        assert self.config.model_base_path is not None
        config = model_server_config_pb2.ModelServerConfig()
        config.model_config_list.config.add(
            name=self.config.model_name,
            base_path=str(self.config.model_base_path.absolute()),
            model_platform="tensorflow",
        )
        return config

    def _poll(self) -> None:
        self.core.poll()
        self._set_health()

    def _read_config(self) -> None:
        try:
            self.core.reload(self._model_config())
        except errors.ServingError as error:
            _logger.error("%s; what was configured before stays", error)
        self._set_health()

    def _repeat(self, look: Callable[[], None], seconds: float) -> None:
        while not self._stopping.wait(seconds):
            look()

    def _set_health(self) -> None:
        states = health_pb2.HealthCheckResponse
        self._health.set(health.OVERALL_HEALTH, states.SERVING if self.core.available else states.NOT_SERVING)


def serve(config: ServerConfig, ready: Callable[[Server], None] = lambda server: None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; call it from the main thread.

    Args:
        config: What to serve, and where.
        ready: Called once the server answers, with its `port` and what its `core` serves.

    Raises:
        ServingError: The port is taken, or the configuration file is not usable.
    """
    stop = threading.Event()
    server = Server(config)
    handlers = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        server.start()
        ready(server)
        stop.wait()
        _logger.info("draining for at most %g s", config.drain_seconds)
    finally:
        server.stop(config.drain_seconds)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `serve` with a flag for each field of `ServerConfig`."""
    parser = argparse.ArgumentParser(prog="python -m serving.server", description=__doc__)
    for field in dataclasses.fields(ServerConfig):
        parser.add_argument(f"--{field.name}", type=_FLAG_TYPES[field.type], default=field.default)
    config = ServerConfig(**vars(parser.parse_args(arguments)))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # It reports every restored file, and that the Session loader is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        serve(config, lambda server: print(f"{wire.HOST}:{server.port}", flush=True))
    except errors.ServingError as error:
        sys.exit(str(error))


def _reporting(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn this package's errors into gRPC's, with TensorFlow Serving's codes."""

    @functools.wraps(method)
    def wrapped(self: object, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request)
        except errors.SignatureNotFound as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except errors.InvalidRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except errors.ModelNotFound as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except errors.LabelUnavailable as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except errors.ModelFailed as error:
            context.abort(_CODES[error.code], str(error))

    return wrapped


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @_reporting
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:  # noqa: N802
        with self._core.servable(_spec(request)) as (version, model):
            response = predict(model, request)
        response.model_spec.version.value = version
        return response

    @_reporting
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        spec = _spec(request)
        if not request.metadata_field:
            raise errors.InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise errors.InvalidRequest(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._core.servable(spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @_reporting
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        spec = _spec(request)
        manager = self._core.models.get(spec.name)
        states = {} if manager is None else manager.states
        if not states:
            raise errors.ModelNotFound(f"Could not find any versions of model {spec.name}")
        if spec.HasField("version"):
            if spec.version.value not in states:
                raise errors.ModelNotFound(
                    f"Could not find version {spec.version.value} of model {spec.name}"
                )
            states = {spec.version.value: states[spec.version.value]}
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in sorted(states, reverse=True):
            state = states[version]
            status = response.model_version_status.add(version=version, state=state.state)
            status.status.error_code = state.code
            status.status.error_message = state.message
        return response

    @_reporting
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") is None:
            raise errors.InvalidRequest("ModelServerConfig had no model config list")
        self._core.reload(request.config)
        return model_management_pb2.ReloadConfigResponse()


def _spec(request: Any) -> model_pb2.ModelSpec:
    """Return the model spec of a request of any kind."""
    if not request.HasField("model_spec"):
        raise errors.InvalidRequest("Missing ModelSpec")
    return request.model_spec


if __name__ == "__main__":
    main()
