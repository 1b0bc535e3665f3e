import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.ratings_example_gen.artifacts import EVALUATION_START
from components.ratings_example_gen.properties import LAST_RATING
from components.served_model.executor import Executor
from components.served_model.properties import BASELINE_VERSION, TRAINING_IDENTITY, UNFAIR
from serving import versions


@pytest.fixture
def copy(tmp_path, serving_dir):
    """Run the executor on a version, and return the Model."""

    def run(version, split_identity="random 1", *, by_time=False, last_rating=0, evaluation_start=""):
        examples = standard_artifacts.Examples()
        examples.set_int_custom_property(LAST_RATING, last_rating)
        if evaluation_start:
            examples.set_string_custom_property(EVALUATION_START, evaluation_start)
        model = standard_artifacts.Model()
        model.uri = str(tmp_path / "model")
        Path(model.uri).mkdir()
        properties = {
            "serving_dir": str(serving_dir),
            "split_identity": split_identity,
            "split_by_time": int(by_time),
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
    assert found == {
        "saved_model.pb": b"graph one",
        "variables/variables.index": b"index",
        "assets.extra/warm_start.npz": b"weights",
    }
    assert manifest == {"split_identity": "random 1", "fingerprint": "one"}
    assert model.get_int_custom_property(BASELINE_VERSION) == 1
    assert model.get_string_custom_property(TRAINING_IDENTITY) == "mine"


@pytest.mark.parametrize(("manifest", "fair"), [("random 1", True), ("random 2", False), (None, False)])
def test_a_model_of_the_same_split_alone_is_fair(copy, publish, manifest, fair):
    publish("one", **({"split_identity": manifest} if manifest else {}))
    model = copy(1, "random 1")
    assert model.get_string_custom_property(UNFAIR) == (
        "" if fair else "was trained on another split and may have seen the test rows"
    )
    assert Path(model.uri, "Format-Serving", "saved_model.pb").read_bytes() == b"graph one"


@pytest.mark.parametrize(
    ("manifest", "by_time", "fair"),
    [
        ({"last_rating": 999}, True, True),
        ({"last_rating": 1000}, True, True),
        ({"last_rating": 1001}, True, False),
        ({}, True, False),
        ({"last_rating": 1001}, False, True),  # by hash, a test row is one whatever the time
    ],
)
def test_a_model_of_later_ratings_has_seen_the_test_rows_of_a_split_by_time(
    copy, publish, manifest, by_time, fair
):
    publish("one", split_identity="the same", **manifest)
    model = copy(1, "the same", by_time=by_time, last_rating=1000)
    assert model.get_string_custom_property(UNFAIR) == (
        "" if fair else "was trained on later ratings and may have seen the test rows"
    )


@pytest.mark.parametrize(
    ("manifest", "fair"),
    [
        ({"evaluation_start": "2000-12-24"}, True),  # trained on days up to 2000-12-23
        ({"evaluation_start": "2000-12-25"}, True),  # on days up to the one before this evaluation span
        ({"evaluation_start": "2000-12-26"}, False),  # on its first day
        ({"evaluation_start": "2001-01-01"}, False),
        ({"split_identity": "spans seed=0 valid=0.05"}, False),  # does not say
        ({}, False),
    ],
)
def test_a_model_whose_training_days_lie_before_the_evaluation_span_is_fair(copy, publish, manifest, fair):
    publish("one", **manifest)
    model = copy(1, "spans seed=0 valid=0.05", evaluation_start="2000-12-25")
    assert model.get_string_custom_property(UNFAIR) == (
        "" if fair else "was trained on days of the evaluation span"
    )


def test_no_version_is_an_empty_model(copy):
    model = copy(0)
    assert model.get_int_custom_property(BASELINE_VERSION) == 0
    assert model.get_string_custom_property(TRAINING_IDENTITY) == "mine"
    assert list(Path(model.uri).iterdir()) == []
