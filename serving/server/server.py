"""The server's process: its port, its pollers, its health, its end."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from serving import errors, wire
from serving.saved_model import SessionModel
from serving.server.batching import BatchingModel, BatchingParameters
from serving.server.config import ServerConfig
from serving.server.core import ServerCore, read_model_config
from serving.server.model_service import ModelService
from serving.server.prediction_service import PredictionService

_logger = logging.getLogger(__name__)


class Server:
    """Models behind one port, taken when the server is made.

    Args:
        config: See its fields.

    Raises:
        ServingError: The port is taken, or the batching parameters file is not usable.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.core = ServerCore(
            allow_version_labels_for_unavailable_models=config.allow_version_labels_for_unavailable_models,
            load=_loader(config),
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
            PredictionService(self.core), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self.core), self._grpc)
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


def _loader(config: ServerConfig) -> Callable[[Path], SessionModel]:
    """Return what loads a version: for requests one by one, or in batches."""
    if not config.enable_batching:
        return SessionModel
    file = config.batching_parameters_file
    parameters = BatchingParameters() if file is None else BatchingParameters.read(file)
    return lambda folder: BatchingModel(folder, parameters)


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
