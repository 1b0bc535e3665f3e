"""TensorFlow Serving's command line and the files that it reads, the same in every container."""

import dataclasses
import math
from pathlib import PurePosixPath

from google.protobuf import text_format

from serving.production.config import BatchingConfig, ProductionConfig
from serving.release import MODELS_CONFIG, Release, server_config

BATCHING_CONFIG = "batching.config"
MONITORING_CONFIG = "monitoring.config"

CONFIG_FOLDER = PurePosixPath("/etc/tensorflow-serving")
"""Where a container finds the batching and monitoring files."""

METRICS_PATH = "/monitoring/prometheus/metrics"

COMMAND = "tensorflow_model_server"
"""The server itself: the image's own entry point is a shell that passes no signal on."""

USER = 10001
"""The user and group that both containers run as; they only need to read the serving folder."""

FOLLOWER_CPU = 0.2  # cores, at most
FOLLOWER_MEMORY = 256  # MiB, at most


def models_config_path(config: ProductionConfig) -> PurePosixPath:
    """Return where the server reads models.config.

    It lies in the serving folder, where each release rewrites it, and not beside the other files: a server
    that starts again must start with the release that holds.
    """
    return config.serving_folder / MODELS_CONFIG


def models_config(model_name: str, base_path: PurePosixPath, stable: int | None, canary: int | None) -> str:
    """Return models.config as a text proto.

    Args:
        model_name: Name that clients ask for.
        base_path: Folder of the numbered versions, as the server sees it.
        stable: Version that label `stable` names, or None: the latest version is served, without labels.
        canary: Version that label `canary` names, or None.
    """
    labels = Release(stable=stable, canary=canary).labels
    return text_format.MessageToString(
        server_config(model_name, base_path, sorted(set(labels.values())), labels)
    )


def batching_config(batching: BatchingConfig) -> str:
    """Return batching.config as a text proto of BatchingParameters, which the API package lacks."""
    values = dataclasses.asdict(batching)
    sizes = values.pop("allowed_batch_sizes")
    lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
    lines += [f"allowed_batch_sizes: {size}" for size in sizes]
    return "\n".join(lines) + "\n"


def monitoring_config() -> str:
    """Return monitoring.config as a text proto of MonitoringConfig, which the API package lacks."""
    return f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'


def mounted_files(config: ProductionConfig) -> dict[str, str]:
    """Return name and text of the files that a container finds in `CONFIG_FOLDER`."""
    files = {MONITORING_CONFIG: monitoring_config()}
    if config.batching is not None:
        files[BATCHING_CONFIG] = batching_config(config.batching)
    return files


def follower_command(config: ProductionConfig, host: str) -> list[str]:
    """Return the command of the follower that brings releases to the server at a host."""
    return [
        "python",
        "-m",
        "serving.follower",
        f"--target={host}:{config.port}",
        f"--model_base_path={config.base_path}",
    ]


def arguments(config: ProductionConfig) -> list[str]:
    """Return the server's arguments, its flags named as TensorFlow Serving names them."""
    # By default TensorFlow starts a thread for each core of the machine, and is throttled at the limit.
    threads = math.ceil(config.cpu_limit)
    # A connection outlives its server's place in the Service and never moves to a new server by itself. So
    # each is closed, politely, several times in a drain, and its client connects to a server that stays.
    age = config.drain_seconds * 1000 // 4
    flags: dict[str, object] = {
        "port": config.port,
        "rest_api_port": config.rest_api_port,
        "model_config_file": models_config_path(config),
        "file_system_poll_wait_seconds": config.file_system_poll_wait_seconds,
        "allow_version_labels_for_unavailable_models": "true",
        "enable_grpc_healthcheck_service": "true",
        "monitoring_config_file": CONFIG_FOLDER / MONITORING_CONFIG,
        "tensorflow_intra_op_parallelism": threads,
        "tensorflow_inter_op_parallelism": threads,
        "grpc_channel_arguments": f"grpc.max_connection_age_ms={age},grpc.max_connection_age_grace_ms={age}",
    }
    if config.batching is not None:
        flags["enable_batching"] = "true"
        flags["batching_parameters_file"] = CONFIG_FOLDER / BATCHING_CONFIG
    return [f"--{name}={value}" for name, value in flags.items()]
