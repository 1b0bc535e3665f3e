"""The channel to a server, the same for both clients: its options, its security, and what its errors mean."""

import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import grpc

from serving import errors, wire
from serving.protos import predict_pb2, prediction_service_pb2_grpc

# A server that restarts is away for longer than attempts can be spread over, for gRPC makes at most five.
# So a request waits for a connection until its deadline, and attempts are for connections that break.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS: Final = (
    *wire.MESSAGE_SIZE_OPTIONS,
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A request that is larger than this is not retried; gRPC's own default is 256 KiB.
    ("grpc.per_rpc_retry_buffer_size", wire.MAX_MESSAGE_BYTES),
    # A server that is back is found within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Despite its name, how long a connection may take to come about, TLS included.
    ("grpc.min_reconnect_backoff_ms", 2000),
)
"""Limits and retries of a channel."""

_PROBE: Final = "/grpc.health.v1.Health/Check"
_PROBE_SECONDS: Final = 0.1

_ERRORS: dict[grpc.StatusCode, tuple[type[errors.ServingError], str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        errors.ServerUnavailable,
        "no server at {target}; start one with `deepfm serve`",
    ),
    grpc.StatusCode.NOT_FOUND: (
        errors.ModelNotFound,
        "{target} does not serve the model; check its name, and that a version has been pushed",
    ),
    grpc.StatusCode.FAILED_PRECONDITION: (
        errors.SignatureNotFound,
        "{target} serves a model of another kind",
    ),
    grpc.StatusCode.INVALID_ARGUMENT: (errors.InvalidRequest, "{target} refused the request"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (errors.LimitExceeded, "too much for {target}; ask for less"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """Files, in PEM format, of a connection over TLS; with the last two it is mutual."""

    root_certificates: Path | None = None  # of who signed the server's certificate; None: gRPC's own list
    certificate_chain: Path | None = None  # shows the server who the client is
    private_key: Path | None = None  # of `certificate_chain`

    def __post_init__(self) -> None:
        if (self.certificate_chain is None) != (self.private_key is None):
            given = "certificate_chain" if self.private_key is None else "private_key"
            raise ValueError(
                f"`certificate_chain` and `private_key` belong together, got {given} alone: "
                f"{getattr(self, given)}"
            )

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            FileNotFoundError: A file is missing.
        """
        return grpc.ssl_channel_credentials(
            **{field.name: self._read(field.name) for field in dataclasses.fields(self)}
        )

    def _read(self, field: str) -> bytes | None:
        path: Path | None = getattr(self, field)
        if path is None:
            return None
        try:
            return Path(path).read_bytes()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"`{field}`: there is no file {path}") from error


def open_channel(library: ModuleType, target: str, tls: TlsConfig | None) -> Any:
    """Open a channel of `grpc` or `grpc.aio` to a `host:port`; without `tls` in plain text.

    Raises:
        FileNotFoundError: A file of `tls` is missing.
    """
    if tls is None:
        return library.insecure_channel(target, options=OPTIONS)
    return library.secure_channel(target, tls.credentials(), options=OPTIONS)


class Connection:
    """A channel to a server; both transports ask through it.

    Args:
        library: `grpc` or `grpc.aio`.
        target: Address as `host:port`.
        tls: Files of a connection over TLS; None for plain text.
        awaitable: Makes a call of the library one that is awaited.

    Raises:
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(
        self,
        library: ModuleType,
        target: str,
        tls: TlsConfig | None,
        awaitable: Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]],
    ) -> None:
        self.target = target
        self.tls = tls
        self.channel = open_channel(library, target, tls)
        self._predict = awaitable(prediction_service_pb2_grpc.PredictionServiceStub(self.channel).Predict)
        self._probe = awaitable(self.channel.unary_unary(_PROBE))

    async def predict(
        self, request: predict_pb2.PredictRequest, timeout: float
    ) -> predict_pb2.PredictResponse:
        """Ask the server, as soon as it is there and again where the connection breaks.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        try:
            return await self._predict(request, timeout=timeout)
        except grpc.RpcError as error:
            cause = error
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                cause = await self._refusal() or error
            raise typed_error(cause, self.target, timeout, self.tls is not None) from error

    async def _refusal(self) -> grpc.RpcError | None:
        """Return why there is no connection; None if there is one, or one is still being made."""
        # A call that does not wait tells at once; where there is a connection, any answer will do.
        try:
            await self._probe(b"", timeout=_PROBE_SECONDS)
        except grpc.RpcError as error:
            return error if error.code() is grpc.StatusCode.UNAVAILABLE else None
        return None


def typed_error(error: grpc.RpcError, target: str, timeout: float, secure: bool) -> errors.ServingError:
    """Return what a failed call means, and what to do.

    Args:
        error: What gRPC raised.
        target: Address of the server.
        timeout: Seconds that the call was given.
        secure: Whether the channel is over TLS.
    """
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(
            f"no answer from {target} within {timeout:.3g} s; allow more time, or ask for less"
        )
    kind, advice = _ERRORS.get(code, (errors.ServingError, f"{{target}} failed with {code.name}"))
    if secure and code is grpc.StatusCode.UNAVAILABLE:
        advice = "no server at {target}, or it and this client do not accept each other's certificates"
    return kind(f"{advice.format(target=target)} ({details})")
