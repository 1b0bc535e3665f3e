import socket
import sys
from pathlib import Path

import pytest

from serving import launch
from serving.errors import ServingError

FLAGS = {"port": "8500", "rest_api_port": "8501", "model_config_file": "/s/models.config"}
GIVEN = ("--port=8500", "--rest_api_port=8501", "--model_config_file=/s/models.config")


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder that is the whole PATH; a program is put there by its name and exit status."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, status=0):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexit {status}\n")
        program.chmod(0o755)
        return str(program)

    return put


def test_the_binary_comes_first(path):
    path("docker")
    binary = path("tensorflow_model_server")
    chosen = launch.choose(FLAGS, Path("/s"))
    assert chosen.what == f"TensorFlow Serving, {binary}"
    assert chosen.command == (binary, *GIVEN)


def test_a_reachable_docker_engine_comes_next(path):
    docker = path("docker")
    chosen = launch.choose(FLAGS, Path("/s"))
    assert chosen.what == "TensorFlow Serving, tensorflow/serving:2.20.0 on Docker"
    assert chosen.command[:2] == (docker, "run")
    for option in (
        "--publish=127.0.0.1:8500:8500",
        "--publish=127.0.0.1:8501:8501",
        "--volume=/s:/s:ro",
        "--entrypoint=tensorflow_model_server",
        "--read-only",
    ):
        assert option in chosen.command
    assert chosen.command[-4:] == ("tensorflow/serving:2.20.0", *GIVEN)


def test_a_docker_client_without_an_engine_is_passed_over(path):
    path("docker", status=1)
    chosen = launch.choose(FLAGS, Path("/s"))
    assert chosen.what.startswith("the local stand-in for TensorFlow Serving")
    assert chosen.command == (sys.executable, "-m", "serving.server", *GIVEN)


def test_without_a_rest_port_none_is_published(path):
    path("docker")
    chosen = launch.choose({"port": "8500", "rest_api_port": "0"}, Path("/s"))
    assert [option for option in chosen.command if option.startswith("--publish")] == [
        "--publish=127.0.0.1:8500:8500"
    ]


def test_a_container_sees_the_files_that_flags_name(path, tmp_path, monkeypatch):
    path("docker")
    monkeypatch.chdir(tmp_path)
    flags = {"model_config_file": "/s/models.config", "ssl_config_file": "tls/ssl.config"}
    command = launch.choose(flags, Path("/s")).command
    volumes = [argument for argument in command if argument.startswith("--volume=")]
    ssl = tmp_path / "tls" / "ssl.config"
    assert volumes == ["--volume=/s:/s:ro", f"--volume={ssl}:{ssl}:ro"]
    assert command[-1] == f"--ssl_config_file={ssl}"


def test_a_taken_port_is_named(free_port):
    port = free_port()
    assert launch.free_port(port) == port
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServingError, match=f"port {port} of 127.0.0.1 is taken"),
    ):
        launch.free_port(port)
    assert launch.free_port(0) > 0
