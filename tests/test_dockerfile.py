"""What can be checked of the image without a Docker engine."""

import re
from pathlib import Path

import pytest

from pipeline.kubeflow.package import DRIVER, ENTRYPOINT

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "components", "serving", "schema")


@pytest.fixture(scope="module")
def instructions():
    """Each instruction with its arguments, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def _copied(instructions):
    """Return what is copied from the project, and where to."""
    copies = [arguments.split() for name, arguments in instructions if name == "COPY"]
    return {source: copy[-1] for copy in copies if not copy[0].startswith("--") for source in copy[:-1]}


def test_all_that_is_copied_exists_and_lies_as_in_a_clone(instructions):
    copied = _copied(instructions)
    assert {source: target for source, target in copied.items() if target != "./"} == {p: p for p in PACKAGES}
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_what_is_sent_to_the_engine_is_what_is_copied(instructions):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(_copied(instructions))


def test_the_packages_are_those_of_the_lock_by_the_uv_of_the_makefile(instructions):
    commands = [arguments for name, arguments in instructions if name == "RUN"]
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"pip install --no-cache-dir uv=={version}" in commands
    syncs = [command for command in commands if command.startswith("uv sync")]
    assert syncs == ["uv sync --locked --no-dev --no-install-project", "uv sync --locked --no-dev"]


def test_both_stages_begin_with_the_python_of_the_project(instructions):
    images = [arguments.split()[0] for name, arguments in instructions if name == "FROM"]
    assert images == ["python:3.11-slim-bookworm"] * 2
    assert 'requires-python = ">=3.11,<3.12"' in (ROOT / "pyproject.toml").read_text()


def test_it_does_not_run_as_root(instructions):
    (user,) = [arguments for name, arguments in instructions if name == "USER"]
    assert user == "10001:10001"
    assert ("RUN", "install --directory --mode=1777 /gcs /minio /s3") in instructions
    assert instructions[-1] == ("ENTRYPOINT", '["deepfm"]')


@pytest.mark.parametrize("command", [ENTRYPOINT, DRIVER])
def test_what_tasks_run_is_in_it(instructions, command):
    python, flag, module = command
    assert (python, flag) == ("python", "-m")
    path = Path(*module.split(".")).with_suffix(".py")
    assert (ROOT / path).is_file()
    assert path.parts[0] in _copied(instructions)
