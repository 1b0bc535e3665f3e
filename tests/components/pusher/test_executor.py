from pathlib import Path

import pytest
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import path_utils, proto_utils

from components.pusher.executor import FINGERPRINT, Executor, pushed_version
from serving import versions


@pytest.fixture
def serving_dir(tmp_path):
    return tmp_path / "serving"


@pytest.fixture
def push(tmp_path, serving_dir):
    """Push a model of two files, by default with both blessings; return the PushedModel."""

    def run(model_blessed=1, infra_blessed=1, fingerprint="one"):
        model_blessing = standard_artifacts.ModelBlessing()
        infra_blessing = standard_artifacts.InfraBlessing()
        pushed = standard_artifacts.PushedModel()
        for artifact, blessed in ((model_blessing, model_blessed), (infra_blessing, infra_blessed)):
            if blessed is not None:
                artifact.set_int_custom_property("blessed", blessed)
        infra_blessing.uri = str(tmp_path / "infra_blessing" / fingerprint)
        infra_blessing.set_int_custom_property("has_model", 1)
        infra_blessing.set_string_custom_property(FINGERPRINT, fingerprint)
        model = Path(path_utils.stamped_model_path(infra_blessing.uri))
        (model / versions.ASSETS_EXTRA).mkdir(parents=True, exist_ok=True)
        (model / versions.SAVED_MODEL).write_bytes(f"graph {fingerprint}".encode())
        (model / versions.MANIFEST).write_text('{"dataset": "tiny"}')
        destination = pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(serving_dir))
        )
        Executor().Do(
            {"model_blessing": [model_blessing], "infra_blessing": [infra_blessing]},
            {"pushed_model": [pushed]},
            {"push_destination": proto_utils.proto_to_json(destination)},
        )
        return pushed

    return run


def test_a_model_with_both_blessings_becomes_version_1(push, serving_dir):
    pushed = push()
    assert pushed_version(pushed) == 1
    assert pushed.get_string_custom_property("pushed_destination") == f"{serving_dir}/1"
    assert versions.versions(serving_dir) == [1]
    assert versions.manifest(serving_dir, 1) == {"dataset": "tiny", "fingerprint": "one"}
    assert (serving_dir / "1" / versions.SAVED_MODEL).read_bytes() == b"graph one"


def test_the_same_model_again_is_still_version_1(push, serving_dir):
    assert [pushed_version(push()) for _ in range(2)] == [1, 1]
    assert versions.versions(serving_dir) == [1]


def test_another_model_is_the_next_version(push, serving_dir):
    assert [pushed_version(push(fingerprint=name)) for name in ("one", "two")] == [1, 2]
    assert versions.manifest(serving_dir, 2)["fingerprint"] == "two"
    assert (serving_dir / "1" / versions.SAVED_MODEL).read_bytes() == b"graph one"


@pytest.mark.parametrize("absent", [0, None])
@pytest.mark.parametrize("blessing", ["model_blessed", "infra_blessed"])
def test_without_either_blessing_nothing_is_pushed(push, serving_dir, blessing, absent):
    pushed = push(**{blessing: absent})
    assert pushed_version(pushed) is None
    assert pushed.get_int_custom_property("pushed") == 0
    assert not serving_dir.exists()


def test_an_unblessed_model_leaves_the_served_version_alone(push, serving_dir):
    push()
    assert pushed_version(push(infra_blessed=0, fingerprint="two")) is None
    assert versions.versions(serving_dir) == [1]
    assert versions.manifest(serving_dir, 1)["fingerprint"] == "one"
