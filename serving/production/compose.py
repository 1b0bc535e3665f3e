"""The Docker Compose file: one server on this machine, on the loopback interface, and its follower."""

from typing import Any

from serving.production import model_server
from serving.production.config import ProductionConfig

_SERVER = "tensorflow-serving"


def compose(config: ProductionConfig) -> dict[str, Any]:
    """Return the Compose file; the files that it mounts lie beside it."""
    name = f"{config.model_name}-serving"
    files = model_server.mounted_files(config)
    return {
        "name": name,
        "services": {
            _SERVER: {
                "image": config.pinned_image,
                "entrypoint": [model_server.COMMAND],
                "command": model_server.arguments(config),
                **_confined(config),
                "configs": [
                    {"source": _source(file), "target": str(model_server.CONFIG_FOLDER / file)}
                    for file in files
                ],
                # The server speaks plain text.
                "ports": [
                    {
                        "target": port,
                        "published": str(port),
                        "host_ip": "127.0.0.1",
                        "protocol": "tcp",
                    }
                    for port in (config.port, config.rest_api_port)
                ],
                "healthcheck": {
                    "test": ["CMD", "bash", "-c", _status_check(config)],
                    "interval": "10s",
                    "timeout": "5s",
                    "retries": 3,
                    "start_period": f"{config.startup_seconds}s",
                    "start_interval": "2s",
                },
                "deploy": _limits(config.cpu_limit, config.memory_limit),
            },
            "follower": {
                "image": config.follower_image,
                "entrypoint": model_server.follower_command(config, _SERVER),
                **_confined(config),
                "deploy": _limits(model_server.FOLLOWER_CPU, model_server.FOLLOWER_MEMORY),
            },
        },
        "configs": {_source(file): {"file": f"./{file}"} for file in files},
    }


def _confined(config: ProductionConfig) -> dict[str, Any]:
    """Return what both containers have: no rights, and the serving folder to read."""
    return {
        # As process 1 a server would ignore SIGTERM (github.com/tensorflow/serving/issues/1853).
        "init": True,
        "user": f"{model_server.USER}:{model_server.USER}",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        # The whole folder: a mounted file would stay the old one when models.config is replaced.
        "volumes": [
            {
                "type": "bind",
                "source": str(config.serving_folder),
                "target": str(config.serving_folder),
                "read_only": True,
                "bind": {"create_host_path": False},
            }
        ],
        "restart": "unless-stopped",
    }


def _limits(cpus: float, memory: int) -> dict[str, Any]:
    """Return limits of cores and MiB."""
    return {"resources": {"limits": {"cpus": f"{cpus:g}", "memory": f"{memory}m"}}}


def _source(file: str) -> str:
    """Return the name under which Compose knows a file."""
    return file.removesuffix(".config")


def _status_check(config: ProductionConfig) -> str:
    """Return a script that fails unless a version is available; the image has bash, but no HTTP client."""
    return (
        f"exec 3<>/dev/tcp/127.0.0.1/{config.rest_api_port}"
        f" && printf 'GET /v1/models/{config.model_name} HTTP/1.0\\r\\n\\r\\n' >&3"
        " && grep -q '\"AVAILABLE\"' <&3"
    )
