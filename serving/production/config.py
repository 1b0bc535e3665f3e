"""What a production deployment of TensorFlow Serving is told."""

import dataclasses
import re
from pathlib import PurePosixPath

from serving.versions import MODEL_NAME

IMAGE = "tensorflow/serving:2.20.0"
"""TensorFlow Serving's container image, unless a configuration names another."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingConfig:
    """Batching of concurrent requests; the fields are named as TensorFlow Serving's BatchingParameters.

    TensorFlow Serving batches every signature or none, and joins requests along the first dimension of all
    inputs. Signature `rank` has one user and many movies: where batching is on it is refused ("Batching Run()
    input tensors must have equal 0th-dimension size"), and requests for one movie each would be joined and
    answered with the first one's user. A request of more rows than `max_batch_size` is refused too. So turn
    it on for servers whose clients only call `predict` or `serving_default`.
    """

    max_batch_size: int = 1024  # rows, at least 1
    batch_timeout_micros: int = 1000  # microseconds that a request waits for others; 0 or more
    num_batch_threads: int = 2  # batches computed at a time, at least 1
    max_enqueued_batches: int = 64  # batches that wait, at least 1; past it requests get UNAVAILABLE
    allowed_batch_sizes: tuple[int, ...] = ()  # rows, rising to max_batch_size; empty allows every size

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "num_batch_threads", "max_enqueued_batches"):
            _check_at_least(self, name, 1)
        _check_at_least(self, "batch_timeout_micros", 0)
        sizes = self.allowed_batch_sizes
        if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                "`allowed_batch_sizes` must be positive and rise to `max_batch_size` "
                f"({self.max_batch_size}), got {sizes}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProductionConfig:
    """One model on a number of servers; a field named as a flag of TensorFlow Serving is that flag."""

    # What is served
    serving_folder: (
        PurePosixPath  # absolute; holds `<model_name>/<version>/`, the same path in every container
    )
    follower_image: str  # has this project installed, and a tag other than latest
    model_name: str = MODEL_NAME  # a DNS label of at most 40 characters: objects of Kubernetes carry it
    stable: int | None = None  # version that label `stable` names; None serves the latest, without labels
    canary: int | None = None  # version that label `canary` names, beside a stable one
    batching: BatchingConfig | None = None  # None: each request runs by itself

    # The server
    image: str = IMAGE  # with a tag, other than latest
    image_digest: str | None = None  # "sha256:…" of that image; None trusts the tag
    port: int = 8500  # gRPC, 1024 to 65535
    rest_api_port: int = 8501  # REST and metrics, 1024 to 65535
    file_system_poll_wait_seconds: int = 2  # between two looks for new versions, at least 1
    cpu_request: float = 1.0  # cores, from 0.001
    cpu_limit: float = 2.0  # cores, at least `cpu_request`
    memory_request: int = 1024  # MiB, at least 1
    memory_limit: int = 2048  # MiB, at least `memory_request`; a switch holds two versions for a while

    # Kubernetes
    namespace: str = "default"  # a DNS label
    volume_claim: str = "serving"  # of the serving folder; ReadWriteMany, or ReadOnlyMany
    min_replicas: int = 2  # at least 2: one may be away
    max_replicas: int = 8  # at least `min_replicas`
    target_cpu_utilization: int = 60  # percent of `cpu_request`, from 1 to what `cpu_limit` is of it
    max_unavailable: int = 1  # servers that a drained node may take away at a time, 1 to `min_replicas` - 1
    startup_seconds: int = 300  # for the first version to load and warm up, at least 5
    drain_seconds: int = 60  # between a server's leaving the Service and its end, at least 8

    def __post_init__(self) -> None:
        _check_path("serving_folder", self.serving_folder)
        _check_label("model_name", self.model_name, 40)
        _check_label("namespace", self.namespace, 63)
        _check_label("volume_claim", self.volume_claim, 63)
        _check_versions(self.stable, self.canary)
        _check_image("image", self.image)
        _check_image("follower_image", self.follower_image)
        if self.image_digest is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", self.image_digest):
            raise ValueError(
                f"`image_digest` must be sha256: and 64 hexadecimal digits, got {self.image_digest!r}"
            )
        for name in ("port", "rest_api_port"):
            if not 1024 <= getattr(self, name) <= 65535:
                raise ValueError(f"`{name}` must be from 1024 to 65535, got {getattr(self, name)}")
        if self.port == self.rest_api_port:
            raise ValueError(f"`rest_api_port` must be different than `port`, got {self.port} for both")
        for name, least in (
            ("file_system_poll_wait_seconds", 1),
            ("cpu_request", 0.001),
            ("memory_request", 1),
            ("min_replicas", 2),
            ("startup_seconds", 5),
            ("drain_seconds", 8),
        ):
            _check_at_least(self, name, least)
        for name, least_name in (
            ("cpu_limit", "cpu_request"),
            ("memory_limit", "memory_request"),
            ("max_replicas", "min_replicas"),
        ):
            if getattr(self, name) < getattr(self, least_name):
                raise ValueError(
                    f"`{name}` must be at least `{least_name}` ({getattr(self, least_name)}), "
                    f"got {getattr(self, name)}"
                )
        most = 100 * self.cpu_limit / self.cpu_request
        if not 1 <= self.target_cpu_utilization <= most:
            raise ValueError(
                f"`target_cpu_utilization` must be from 1 to {most:g}, got {self.target_cpu_utilization}"
            )
        if not 1 <= self.max_unavailable < self.min_replicas:
            raise ValueError(
                f"`max_unavailable` must be from 1 to {self.min_replicas - 1}, got {self.max_unavailable}"
            )

    @property
    def base_path(self) -> PurePosixPath:
        """TensorFlow Serving's base_path: the folder of the numbered versions."""
        return self.serving_folder / self.model_name

    @property
    def pinned_image(self) -> str:
        """The image with its tag and, if there is one, its digest."""
        return self.image if self.image_digest is None else f"{self.image}@{self.image_digest}"


def _check_at_least(config: object, name: str, least: float) -> None:
    if not getattr(config, name) >= least:
        raise ValueError(f"`{name}` must be at least {least}, got {getattr(config, name)}")


def _check_path(name: str, path: PurePosixPath) -> None:
    # Compose and Kubernetes both replace variables in what they read; the rest keeps a path one word.
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", str(path)) or ".." in path.parts:
        raise ValueError(
            f"`{name}` must be an absolute path of letters, digits, '.', '_' and '-', got {str(path)!r}"
        )


def _check_label(name: str, label: str, longest: int) -> None:
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", label) or len(label) > longest:
        raise ValueError(f"`{name}` must be a DNS label of at most {longest} characters, got {label!r}")


def _check_versions(stable: int | None, canary: int | None) -> None:
    for name, version in (("stable", stable), ("canary", canary)):
        if version is not None and version < 0:
            raise ValueError(f"`{name}` must not be negative, got {version}")
    if canary is not None and stable is None:
        raise ValueError(f"`canary` needs a `stable` version beside it, got {canary} alone")
    if canary is not None and canary == stable:
        raise ValueError(f"`canary` must be another version than `stable`, got {canary} for both")


def _check_image(name: str, image: str) -> None:
    tag = re.fullmatch(r"[a-z0-9][a-z0-9._/:-]*[a-z0-9]:([A-Za-z0-9_][A-Za-z0-9._-]*)", image)
    if tag is None or tag[1] == "latest":
        raise ValueError(f"`{name}` must have a tag other than latest, got {image!r}")
