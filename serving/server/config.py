"""What the server is told, by flags that are named as TensorFlow Serving's."""

import argparse
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from serving import versions

_FLAG_TYPES: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: text.lower() in ("true", "1"),
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
    port: int = 8500  # 0 to 65535; 0 picks a free one
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)  # requests answered at a time, at least 1
    enable_batching: bool = False  # run concurrent requests together, see `batching.py`
    batching_parameters_file: Path | None = None  # BatchingParameters as text; its defaults if not given
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
            parser.add_argument(f"--{field.name}", type=_FLAG_TYPES[field.type], default=field.default)
        return cls(**vars(parser.parse_args(flags)))
