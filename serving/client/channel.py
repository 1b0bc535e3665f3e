"""The channel to a server, the same for both clients: its options, its security, and what its errors mean."""

import dataclasses
import json
from pathlib import Path
from typing import Final

import grpc

from serving import errors, wire

# A server that restarts is away for a while: up to five attempts, 0.2 s to 2 s apart.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
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
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""Limits and retries of a channel."""

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
