import importlib.util
import sys
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig


@pytest.fixture(scope="session")
def backends():
    """The module that plays the back ends."""
    path = Path(__file__).with_name("backend.py")
    spec = importlib.util.spec_from_file_location("kubeflow_backends", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def config():
    """What to run, with paths that no container has: a run chooses others."""
    return PipelineConfig(
        dataset="small", data_folder=Path("/mnt/data"), root=Path("/mnt/runs/small"), generated=True
    )
