"""A stand-in for TensorFlow Serving, for a laptop: the same gRPC protocol on the same serving folder.

It serves the newest version that loads, from TensorFlow's own Session loader, and answers Predict,
GetModelMetadata, GetModelStatus and health checks with TensorFlow Serving's status codes. It is no rival:
production runs `tensorflow_model_server`, with flags of the same names. It listens on the loopback
interface only.
"""

import argparse
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
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import errors, versions, wire
from serving.manager import ModelManager
from serving.predict import predict

_logger = logging.getLogger(__name__)
_SIGNATURE_DEF = "signature_def"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the server needs to know; the fields are named as TensorFlow Serving's flags."""

    model_base_path: Path  # holds the numbered versions; may still be missing or empty
    model_name: str = versions.MODEL_NAME
    port: int = 8500  # 0 to 65535; 0 picks a free one
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)  # requests answered at a time, at least 1
    file_system_poll_wait_seconds: float = 1.0  # between two looks at the folder; 0 looks once only
    drain_seconds: float = 30.0  # for running requests to end after SIGTERM; not TensorFlow Serving's

    def __post_init__(self) -> None:
        if not self.model_name:
            raise ValueError("`model_name` must not be empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"`port` must be from 0 to 65535, got {self.port}")
        if self.grpc_max_threads < 1:
            raise ValueError(f"`grpc_max_threads` must be positive, got {self.grpc_max_threads}")
        for name in ("file_system_poll_wait_seconds", "drain_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}")


class Server:
    """One model behind one port, taken when the server is made.

    Args:
        config: See its fields.

    Raises:
        ServingError: The port is taken.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.manager = ModelManager(config.model_name, config.model_base_path)
        self._health = health.HealthServicer()
        self._set_health()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll_forever, name="poll", daemon=True)
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(config.grpc_max_threads, thread_name_prefix="grpc"),
            # gRPC lets two servers share a port unless told otherwise.
            options=[*wire.MESSAGE_SIZE_OPTIONS, ("grpc.so_reuseport", 0)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self.manager), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(self.manager), self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        try:
            self.port: int = self._grpc.add_insecure_port(f"{wire.HOST}:{config.port}")
        except RuntimeError as error:
            raise errors.ServingError(
                f"port {config.port} of {wire.HOST} is taken: stop what listens there, or choose another port"
            ) from error

    def start(self) -> None:
        """Load what is in the folder, then answer; requests that come meanwhile wait."""
        self._poll()
        if self.manager.version is None:
            _logger.warning(
                "no version of %s to serve under %s yet", self.config.model_name, self.config.model_base_path
            )
        self._grpc.start()
        if self.config.file_system_poll_wait_seconds:
            self._poller.start()

    def stop(self, grace: float | None = None) -> None:
        """Take no more requests, let those that run end, and unload.

        Args:
            grace: Seconds after which requests that still run are cancelled; None cancels at once.
        """
        deadline = time.monotonic() + (grace or 0.0)
        self._health.enter_graceful_shutdown()
        self._stopping.set()
        self._grpc.stop(grace).wait()
        if self._poller.is_alive():
            self._poller.join(max(0.0, deadline - time.monotonic()))
        self.manager.close(max(0.0, deadline - time.monotonic()))

    def _poll(self) -> None:
        try:
            self.manager.poll()
        except OSError as error:
            _logger.error("cannot look into %s: %s", self.config.model_base_path, error)
        self._set_health()

    def _poll_forever(self) -> None:
        while not self._stopping.wait(self.config.file_system_poll_wait_seconds):
            self._poll()

    def _set_health(self) -> None:
        states = health_pb2.HealthCheckResponse
        status = states.NOT_SERVING if self.manager.version is None else states.SERVING
        self._health.set(health.OVERALL_HEALTH, status)


def serve(config: ServerConfig, ready: Callable[[Server], None] = lambda server: None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; call it from the main thread.

    Args:
        config: What to serve, and where.
        ready: Called once the server answers, with its `port` and the `manager.version` it serves.

    Raises:
        ServingError: The port is taken.
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
        required = field.default is dataclasses.MISSING
        parser.add_argument(
            f"--{field.name}",
            type=field.type,  # type: ignore[arg-type]
            required=required,
            default=None if required else field.default,
        )
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
        except errors.ModelFailed as error:
            context.abort(_CODES[error.code], str(error))

    return wrapped


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    @_reporting
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:  # noqa: N802
        with self._manager.servable(_wanted(request, self._manager)) as (version, model):
            response = predict(model, request)
        response.model_spec.version.value = version
        return response

    @_reporting
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        wanted = _wanted(request, self._manager)
        if not request.metadata_field:
            raise errors.InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise errors.InvalidRequest(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._manager.servable(wanted) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    @_reporting
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        spec = _spec(request)
        states = self._manager.states if spec.name == self._manager.model_name else {}
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


def _spec(request: Any) -> model_pb2.ModelSpec:
    """Return the model spec of a request of any kind."""
    if not request.HasField("model_spec"):
        raise errors.InvalidRequest("Missing ModelSpec")
    return request.model_spec


def _wanted(request: Any, manager: ModelManager) -> int | None:
    """Return the version that a request asks for; None for the latest."""
    spec = _spec(request)
    if not spec.name:
        raise errors.InvalidRequest("ModelSpec has no name specified.")
    if spec.WhichOneof("version_choice") == "version_label":
        raise errors.InvalidRequest(f"Unrecognized servable version label: {spec.version_label}")
    version = spec.version.value if spec.HasField("version") else None
    if spec.name != manager.model_name:
        which = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
        raise errors.ModelNotFound(f"Servable not found for request: {which}")
    return version


if __name__ == "__main__":
    main()
