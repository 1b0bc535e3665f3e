"""Which server the conformance test asks."""

import importlib.util
from pathlib import Path

import pytest

from serving.server.config import ServerConfig
from serving.server.server import Server


def pytest_addoption(parser):
    parser.addoption("--server", metavar="HOST:PORT", help="a TensorFlow Serving for test_conformance.py")
    parser.addoption("--model-folder", help="where that server sees the models of conformance_models.py")


@pytest.fixture(scope="session")
def conformance_models():
    """The module beside this file; test files are no package."""
    path = Path(__file__).with_name("conformance_models.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def conformance_target(request, tmp_path_factory, conformance_models):
    """The address of a server of the conformance models, and where it sees them; the local one by default."""
    # A run that starts elsewhere reads this file too late for its options.
    target = request.config.getoption("--server", default=None)
    if target is not None:
        yield target, request.config.getoption("--model-folder") or "/models"
        return
    folder = tmp_path_factory.mktemp("conformance") / "models"
    config_file = conformance_models.write(folder, folder)
    server = Server(
        ServerConfig(
            model_config_file=config_file,
            port=0,
            grpc_max_threads=4,
            file_system_poll_wait_seconds=0.1,
            allow_version_labels_for_unavailable_models=True,
            enable_signature_method_name_check=True,
        )
    )
    server.start()
    yield f"127.0.0.1:{server.port}", str(folder)
    server.stop(0)
