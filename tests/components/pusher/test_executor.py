import shutil
from pathlib import Path

import pytest
from tfx.orchestration import metadata
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.evaluator.properties import TEST_RMSE
from components.pusher.driver import Driver
from components.pusher.executor import Executor, pushed_version
from components.serving_validator.report import FINGERPRINT
from serving import release, versions


@pytest.fixture
def serving_dir(tmp_path):
    return tmp_path / "serving"


@pytest.fixture
def push(tmp_path, serving_dir, publications):
    """Drive and push a model of two files, by default with both blessings; return the PushedModel."""
    handle = metadata.Metadata(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")))

    def run(model_blessed=1, infra_blessed=1, fingerprint="one"):
        model_blessing = standard_artifacts.ModelBlessing()
        infra_blessing = standard_artifacts.InfraBlessing()
        pushed = standard_artifacts.PushedModel()
        for artifact, blessed in ((model_blessing, model_blessed), (infra_blessing, infra_blessed)):
            if blessed is not None:
                artifact.set_int_custom_property("blessed", blessed)
        model_blessing.set_float_custom_property(TEST_RMSE, 0.875)
        infra_blessing.uri = str(tmp_path / "infra_blessing" / fingerprint)
        infra_blessing.set_int_custom_property("has_model", 1)
        infra_blessing.set_string_custom_property(FINGERPRINT, fingerprint)
        model = Path(path_utils.stamped_model_path(infra_blessing.uri))
        (model / versions.ASSETS_EXTRA).mkdir(parents=True, exist_ok=True)
        (model / versions.SAVED_MODEL).write_bytes(f"graph {fingerprint}".encode())
        (model / versions.MANIFEST).write_text('{"dataset": "tiny"}')
        inputs = {"model_blessing": [model_blessing], "infra_blessing": [infra_blessing]}
        properties = {"serving_dir": str(serving_dir), "keep_versions": 3}
        info = ExecutionInfo(input_dict=inputs, exec_properties=properties)
        driven = Driver(handle).run(info).exec_properties[versions.PUBLICATION].string_value
        publications.append(driven)
        Executor().Do(inputs, {"pushed_model": [pushed]}, {**properties, versions.PUBLICATION: driven})
        return pushed

    return run


@pytest.fixture
def publications():
    """What the driver put into the cache key at each push."""
    return []


def test_a_model_with_both_blessings_becomes_version_1(push, serving_dir, publications):
    pushed = push()
    assert pushed_version(pushed) == 1
    assert pushed.get_string_custom_property("pushed_destination") == f"{serving_dir}/1"
    assert versions.versions(serving_dir) == [1]
    (publication,) = publications
    assert versions.manifest(serving_dir, 1) == {
        "blessed": True,
        "dataset": "tiny",
        "fingerprint": "one",
        "publication": publication,
        "test_rmse": 0.875,
    }
    assert (serving_dir / "1" / versions.SAVED_MODEL).read_bytes() == b"graph one"


def test_what_is_pushed_is_released(push, serving_dir):
    push()
    push(fingerprint="two")
    assert release.served(serving_dir) == 2
    release.rollback(serving_dir, "worse")
    assert pushed_version(push(fingerprint="two")) == 2
    assert release.served(serving_dir) == 1
    assert pushed_version(push(fingerprint="three")) == 3
    assert release.served(serving_dir) == 3


def test_the_same_model_again_is_still_version_1(push, serving_dir, publications):
    assert [pushed_version(push()) for _ in range(2)] == [1, 1]
    assert versions.versions(serving_dir) == [1]
    assert publications[0] == publications[1] != ""


def test_a_model_that_was_removed_since_is_pushed_anew(push, serving_dir, publications):
    push()
    shutil.rmtree(serving_dir)
    assert pushed_version(push()) == 1
    shutil.rmtree(serving_dir / "1")
    assert pushed_version(push()) == 2
    assert len(set(publications)) == 3


def test_a_model_that_was_superseded_since_is_pushed_anew(push, serving_dir, publications):
    assert [pushed_version(push(fingerprint=name)) for name in ("one", "two", "one")] == [1, 2, 3]
    assert len(set(publications)) == 3


def test_another_model_is_the_next_version(push, serving_dir):
    assert [pushed_version(push(fingerprint=name)) for name in ("one", "two")] == [1, 2]
    assert versions.manifest(serving_dir, 2)["fingerprint"] == "two"
    assert (serving_dir / "1" / versions.SAVED_MODEL).read_bytes() == b"graph one"


@pytest.mark.parametrize("absent", [0, None])
@pytest.mark.parametrize("blessing", ["model_blessed", "infra_blessed"])
def test_without_either_blessing_nothing_is_pushed(push, serving_dir, publications, blessing, absent):
    pushed = push(**{blessing: absent})
    assert pushed_version(pushed) is None
    assert pushed.get_int_custom_property("pushed") == 0
    assert not serving_dir.exists()
    assert publications == [""]


def test_an_unblessed_model_leaves_the_served_version_alone(push, serving_dir):
    push()
    assert pushed_version(push(infra_blessed=0, fingerprint="two")) is None
    assert versions.versions(serving_dir) == [1]
    assert versions.manifest(serving_dir, 1)["fingerprint"] == "one"


def test_a_push_leaves_the_newest_versions_and_what_is_released(push, serving_dir):
    for fingerprint in ("one", "two", "three", "four"):
        push(fingerprint=fingerprint)
    assert versions.versions(serving_dir) == [2, 3, 4]
    release.rollback(serving_dir, "worse", version=2)
    for fingerprint in ("five", "six", "seven", "eight"):
        push(fingerprint=fingerprint)
        release.rollback(serving_dir, "worse", version=2)
    assert versions.versions(serving_dir) == [2, 6, 7, 8]
