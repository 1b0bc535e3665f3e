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
from serving.server import reflection
from serving.server.access_log import AccessLog
from serving.server.batching import BatchingModel, BatchingParameters
from serving.server.config import ServerConfig
from serving.server.config_protos import read_monitoring_config, read_ssl_config
from serving.server.core import ServerCore, read_model_config
from serving.server.manager import Load, load_by_itself
from serving.server.metrics import Metrics
from serving.server.model_service import ModelService
from serving.server.prediction_service import PredictionService
from serving.server.recording import Call, RecordingInterceptor
from serving.server.rest import RestApi, RestServer

_logger = logging.getLogger(__name__)

# TensorFlow Serving names its services for health checks without their package.
_HEALTH_NAMES = (
    health.OVERALL_HEALTH,
    *(name.rpartition(".")[2] for name in reflection.SERVICES),
    *reflection.SERVICES,
)


class Server:
    """Models behind a gRPC port and, if asked for, a REST port, taken when the server is made.

    Args:
        config: See its fields.

    Raises:
        ServingError: A port is taken, or a configuration file is not usable.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.metrics = Metrics(lambda: self.core.models)
        self.core = ServerCore(
            allow_version_labels_for_unavailable_models=config.allow_version_labels_for_unavailable_models,
            load=_loader(config, self.metrics),
            loaded=self.metrics.loaded,
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
            interceptors=[RecordingInterceptor(self._record)],
        )
        prediction_service = PredictionService(
            self.core, self.metrics, method_name_check=config.enable_signature_method_name_check
        )
        model_service = ModelService(self.core)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction_service, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model_service, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable(self._grpc)
        self.port = self._bind()
        self._rest = self._rest_server(RestApi(prediction_service, model_service))
        self._access_log = None if config.access_log_file is None else _access_log(config.access_log_file)

    def start(self) -> None:
        """Load what is configured, then answer; requests that come meanwhile wait.

        Raises:
            InvalidRequest: The configuration file is not usable.
            LabelUnavailable: It has labels, and is to be told that they may precede their versions.
        """
        # A version may come later.
        with contextlib.suppress(errors.ModelNotLoadable):
            self.core.reload(self._model_config())
        self._set_health()
        for name, manager in self.core.models.items():
            if manager.version is None:
                _logger.warning("no version of %s to serve under %s yet", name, manager.base_path)
        self._grpc.start()
        if self._rest is not None:
            self._rest.start()
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
        stopped = self._grpc.stop(grace)
        if self._rest is not None:
            self._rest.stop(grace or 0.0)
        stopped.wait()
        for poller in self._pollers:
            if poller.is_alive():
                poller.join(max(0.0, deadline - time.monotonic()))
        self.core.close(max(0.0, deadline - time.monotonic()))
        if self._access_log is not None:
            self._access_log.close()

    def _bind(self) -> int:
        """Take the gRPC port, for TLS if that is configured."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        address = f"{host}:{self.config.port}"
        doubt = ""
        try:
            if self.config.ssl_config_file is None:
                return self._grpc.add_insecure_port(address)
            doubt = f", or {self.config.ssl_config_file} holds no valid key and certificate"
            ssl = read_ssl_config(self.config.ssl_config_file)
            credentials = grpc.ssl_server_credentials(
                [(ssl.server_key.encode(), ssl.server_cert.encode())],
                root_certificates=ssl.custom_ca.encode() or None,
                require_client_auth=ssl.client_verify,
            )
            return self._grpc.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise errors.ServingError(
                f"port {self.config.port} of {self.config.host} is taken{doubt}: stop what listens there, or "
                "choose another port"
            ) from error

    def _rest_server(self, api: RestApi) -> RestServer | None:
        config = self.config
        if not config.rest_api_port:
            return None
        path = (
            None
            if config.monitoring_config_file is None
            else read_monitoring_config(config.monitoring_config_file)
        )
        # TensorFlow Serving's REST has no TLS.
        host = config.host if config.ssl_config_file is None else wire.HOST
        if host != config.host:
            _logger.warning("REST has no TLS: it listens on %s, not on %s", host, config.host)
        return RestServer(
            api,
            self._record,
            host=host,
            port=config.rest_api_port,
            threads=config.rest_api_num_threads,
            timeout=config.rest_api_timeout_in_ms / 1000,
            pages={} if path is None else {path: self.metrics.page},
        )

    def _record(self, call: Call) -> None:
        self.metrics.answered(call.api, call.entrypoint, call.model, call.code.name, call.seconds)
        if self._access_log is not None:
            self._access_log.write(call)

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
        status = states.SERVING if self.core.available else states.NOT_SERVING
        for name in _HEALTH_NAMES:
            self._health.set(name, status)


def _access_log(path: Path) -> AccessLog:
    try:
        return AccessLog(path)
    except OSError as error:
        raise errors.ServingError(f"cannot write the access log {path}: {error}") from error


def _loader(config: ServerConfig, metrics: Metrics) -> Load:
    """Return what loads a version: for requests one by one, or in batches."""
    if not config.enable_batching:
        return load_by_itself
    file = config.batching_parameters_file
    parameters = BatchingParameters() if file is None else BatchingParameters.read(file)
    return lambda name, folder: BatchingModel(folder, parameters, metrics.batch_size.labels(name).observe)


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
