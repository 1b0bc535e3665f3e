import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.served_model.executor import Executor
from components.served_model.properties import BASELINE_VERSION, COMPARABLE, TRAINING_IDENTITY
from serving import versions


@pytest.fixture
def copy(tmp_path, serving_dir):
    """Run the executor on a version, and return the Model."""

    def run(version, split_identity="random 1"):
        model = standard_artifacts.Model()
        model.uri = str(tmp_path / "model")
        Path(model.uri).mkdir()
        properties = {
            "serving_dir": str(serving_dir),
            "split_identity": split_identity,
            "baseline_version": version,
            "baseline_fingerprint": "one",
            "training_identity": "mine",
        }
        Executor().Do({"examples": [standard_artifacts.Examples()]}, {"model": [model]}, properties)
        return model

    return run


def test_the_version_is_copied_whole_under_format_serving(copy, publish):
    publish("one", split_identity="random 1")
    publish("two", split_identity="random 1")
    model = copy(1)
    folder = Path(path_utils.serving_model_path(model.uri))
    assert folder == Path(model.uri, "Format-Serving")
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    manifest = json.loads(found.pop(str(versions.MANIFEST)))
    assert found == {"saved_model.pb": b"graph one", "variables/variables.index": b"index"}
    assert manifest == {"split_identity": "random 1", "fingerprint": "one"}
    assert model.get_int_custom_property(BASELINE_VERSION) == 1
    assert model.get_string_custom_property(TRAINING_IDENTITY) == "mine"


@pytest.mark.parametrize(("manifest", "comparable"), [("random 1", 1), ("random 2", 0), (None, 0)])
def test_a_model_of_the_same_split_alone_is_comparable(copy, publish, manifest, comparable):
    publish("one", **({"split_identity": manifest} if manifest else {}))
    model = copy(1, "random 1")
    assert model.get_int_custom_property(COMPARABLE) == comparable
    assert Path(model.uri, "Format-Serving", "saved_model.pb").read_bytes() == b"graph one"


def test_no_version_is_an_empty_model(copy):
    model = copy(0)
    assert model.get_int_custom_property(BASELINE_VERSION) == 0
    assert model.get_int_custom_property(COMPARABLE) == 0
    assert model.get_string_custom_property(TRAINING_IDENTITY) == "mine"
    assert list(Path(model.uri).iterdir()) == []
