import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.ratings_example_gen.artifacts import EVALUATION_START
from components.served_model.executor import Executor
from components.served_model.properties import BASELINE_VERSION, COMPARABLE, TRAINING_IDENTITY
from serving import versions


@pytest.fixture
def copy(tmp_path, serving_dir):
    """Run the executor on a version, and return the Model."""

    def run(version, split_identity="random 1", evaluation_start=""):
        examples = standard_artifacts.Examples()
        if evaluation_start:
            examples.set_string_custom_property(EVALUATION_START, evaluation_start)
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
        Executor().Do({"examples": [examples]}, {"model": [model]}, properties)
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


@pytest.mark.parametrize(
    ("manifest", "comparable"),
    [
        ({"evaluation_start": "2000-12-24"}, 1),  # trained on days up to 2000-12-23
        ({"evaluation_start": "2000-12-25"}, 1),  # on days up to the one before this evaluation span
        ({"evaluation_start": "2000-12-26"}, 0),  # on its first day
        ({"evaluation_start": "2001-01-01"}, 0),
        ({"split_identity": "spans seed=0 valid=0.05"}, 0),  # does not say
        ({}, 0),
    ],
)
def test_a_model_whose_training_days_lie_before_the_evaluation_span_is_comparable(
    copy, publish, manifest, comparable
):
    publish("one", **manifest)
    model = copy(1, "spans seed=0 valid=0.05", evaluation_start="2000-12-25")
    assert model.get_int_custom_property(COMPARABLE) == comparable


def test_no_version_is_an_empty_model(copy):
    model = copy(0)
    assert model.get_int_custom_property(BASELINE_VERSION) == 0
    assert model.get_int_custom_property(COMPARABLE) == 0
    assert model.get_string_custom_property(TRAINING_IDENTITY) == "mine"
    assert list(Path(model.uri).iterdir()) == []
