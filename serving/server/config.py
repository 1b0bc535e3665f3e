"""What the server is told, by flags that are named as TensorFlow Serving's."""

import argparse
import dataclasses
import ipaddress
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from serving import versions, wire

# TensorFlow Serving's, for what is otherwise here: accepted, and without effect.
_WITHOUT_EFFECT = (
    "enable_grpc_healthcheck_service",  # it is always there
    "enable_model_warmup",  # it is always done
    "flush_filesystem_caches",
    "grpc_channel_arguments",
    "load_retry_interval_micros",  # a version is tried again when its files change
    "max_num_load_retries",
    "num_load_threads",
    "num_unload_threads",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_parallelism",
)


def _true_or_false(text: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


_FLAG_TYPES: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _true_or_false,
    Path | None: Path,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the server needs to know; the fields are named as TensorFlow Serving's flags."""

    model_base_path: Path | None = None  # holds the numbered versions; may still be missing or empty
    model_name: str = versions.MODEL_NAME  # of what is under `model_base_path`
    model_config_file: Path | None = None  # ModelServerConfig as text, in place of the two above
    model_config_file_poll_wait_seconds: float = 0.0  # between two looks at that file; 0 looks once only
    allow_version_labels_for_unavailable_models: bool = False  # a new label may precede its version's load
    enable_signature_method_name_check: bool = False  # Classify and Regress insist on a method name
    host: str = wire.HOST  # address to listen on; not TensorFlow Serving's, which listens on every one
    port: int = 8500  # 0 to 65535; 0 picks a free one
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)  # requests answered at a time, at least 1
    rest_api_port: int = 0  # 0 to 65535; 0 means no REST
    rest_api_num_threads: int = 4 * (os.cpu_count() or 1)  # REST requests answered at a time, at least 1
    rest_api_timeout_in_ms: int = 30_000  # for the answer to a REST request, at least 1
    monitoring_config_file: Path | None = None  # MonitoringConfig as text; metrics are on the REST port
    ssl_config_file: Path | None = None  # SSLConfig as text, for gRPC; REST has no TLS and stays on loopback
    allow_insecure: bool = False  # plain text may leave the machine; not TensorFlow Serving's
    access_log_file: Path | None = None  # gets a line for each call; not TensorFlow Serving's
    enable_batching: bool = False  # run concurrent requests together, see `batching.py`
    batching_parameters_file: Path | None = None  # BatchingParameters as text; its defaults if not given
    file_system_poll_wait_seconds: float = 1.0  # between two looks at the folder; 0 looks once only
    drain_seconds: float = 30.0  # for running requests to end after SIGTERM; not TensorFlow Serving's

    def __post_init__(self) -> None:
        if (self.model_base_path is None) == (self.model_config_file is None):
            raise ValueError("give either `model_base_path` or `model_config_file`")
        if not self.model_name:
            raise ValueError("`model_name` must not be empty")
        for name in ("port", "rest_api_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"`{name}` must be from 0 to 65535, got {getattr(self, name)}")
        if self.rest_api_port and self.rest_api_port == self.port:
            raise ValueError(f"`rest_api_port` must not be `port`, got {self.port} for both")
        for name in ("grpc_max_threads", "rest_api_num_threads", "rest_api_timeout_in_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        if self.monitoring_config_file is not None and not self.rest_api_port:
            raise ValueError("`monitoring_config_file` needs `rest_api_port`: the metrics are served there")
        if not (_is_loopback(self.host) or self.ssl_config_file or self.allow_insecure):
            raise ValueError(
                f"`host` {self.host} can be reached from other machines, and calls would travel in plain "
                "text: give `ssl_config_file`, or `allow_insecure` if that is meant"
            )
        if self.batching_parameters_file is not None and not self.enable_batching:
            raise ValueError("`batching_parameters_file` is set without setting `enable_batching` to true")
        for name in (
            "model_config_file_poll_wait_seconds",
            "file_system_poll_wait_seconds",
            "drain_seconds",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}")

    @classmethod
    def from_flags(cls, flags: Sequence[str] | None = None) -> Self:
        """Read a flag for each field.

        Args:
            flags: As on a command line; None takes this process's own.

        Raises:
            SystemExit: A flag is not known, or not of its type.
            ValueError: A field is out of its range.
        """
        parser = argparse.ArgumentParser(prog="python -m serving.server")
        for field in dataclasses.fields(cls):
            # As with TensorFlow Serving, the name of a boolean flag alone means true.
            alone: dict[str, Any] = {"nargs": "?", "const": True} if field.type is bool else {}
            parser.add_argument(
                f"--{field.name}", type=_FLAG_TYPES[field.type], default=field.default, **alone
            )
        for name in _WITHOUT_EFFECT:
            parser.add_argument(
                f"--{name}", nargs="?", default=argparse.SUPPRESS, help="accepted, without effect"
            )
        given = vars(parser.parse_args(flags))
        return cls(**{name: value for name, value in given.items() if name not in _WITHOUT_EFFECT})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
