"""Which server serves: TensorFlow Serving where there is one, else its stand-in, by the same flags."""

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serving import errors, wire
from serving.production.config import IMAGE
from serving.production.model_server import COMMAND

_DOCKER = "docker"
_DOCKER_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """A server that can be started."""

    what: str  # for people: which server, and why this one
    command: tuple[str, ...]
    stand_in: bool = False


def choose(flags: Mapping[str, str], serving_folder: Path) -> Launch:
    """Choose the server: the binary on the PATH, else a reachable Docker engine, else the stand-in.

    Args:
        flags: TensorFlow Serving's flags, by name without the dashes.
        serving_folder: Holds the models and their configuration; a container sees it read-only at the same
            path.

    Returns:
        The server and its command.
    """
    given = tuple(f"--{name}={value}" for name, value in {**flags, **_files(flags)}.items())
    binary = shutil.which(COMMAND)
    if binary is not None:
        return Launch(what=f"TensorFlow Serving, {binary}", command=(binary, *given))
    docker = shutil.which(_DOCKER)
    if docker is not None and _answers(docker):
        files = [path for path in _files(flags).values() if serving_folder not in Path(path).parents]
        ports = [flags[name] for name in ("port", "rest_api_port") if flags.get(name, "0") != "0"]
        command = (
            docker,
            "run",
            "--rm",
            "--init",
            "--read-only",
            "--cap-drop=ALL",
            f"--user={os.getuid()}:{os.getgid()}",
            *(f"--publish=127.0.0.1:{port}:{port}" for port in ports),
            *(f"--volume={path}:{path}:ro" for path in [serving_folder, *files]),
            f"--entrypoint={COMMAND}",
            IMAGE,
            *given,
        )
        return Launch(what=f"TensorFlow Serving, {IMAGE} on Docker", command=command)
    return Launch(
        what=f"the local stand-in for TensorFlow Serving (no {COMMAND} on the PATH, no Docker engine)",
        command=(sys.executable, "-m", "serving.server", *given),
        stand_in=True,
    )


def _files(flags: Mapping[str, str]) -> dict[str, str]:
    """Return the flags that name a file, as absolute paths: a container is elsewhere."""
    return {name: os.path.abspath(value) for name, value in flags.items() if name.endswith("_file")}


def free_port(wanted: int) -> int:
    """Return the port if nothing listens on it, or any such port for 0.

    Raises:
        ServingError: The port is taken.
    """
    try:
        with socket.create_server((wire.HOST, wanted)) as probe:
            port: int = probe.getsockname()[1]
            return port
    except OSError as error:
        raise errors.ServingError(
            f"port {wanted} of {wire.HOST} is taken: stop what listens there, or choose another port"
        ) from error


def follower(flags: Mapping[str, str], base_path: Path) -> tuple[str, ...]:
    """Return the command that brings releases to the server which has these flags.

    Args:
        flags: As in `choose`; the port must be a fixed one.
        base_path: The serving folder.
    """
    # A certificate is for a name.
    host = "localhost" if "ssl_config_file" in flags else wire.HOST
    given = {"target": f"{host}:{flags['port']}", "model_base_path": str(base_path)}
    if "ssl_config_file" in flags:
        given["ssl_config_file"] = flags["ssl_config_file"]
    return (sys.executable, "-m", "serving.follower", *(f"--{name}={value}" for name, value in given.items()))


def _answers(docker: str) -> bool:
    """Return whether a Docker engine can be reached."""
    try:
        done = subprocess.run([docker, "info"], capture_output=True, timeout=_DOCKER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
