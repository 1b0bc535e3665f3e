import shutil
import threading

import numpy as np
import pytest
from tensorflow_serving.apis import get_model_status_pb2

from schema import features
from serving import errors, versions, warmup
from serving.server.manager import ModelManager, Policy, VersionState

State = get_model_status_pb2.ModelVersionStatus.State


@pytest.fixture
def base_path(tmp_path, models):
    folder = tmp_path / "serving"
    versions.publish(models[1], folder, fingerprint="one")
    return folder


@pytest.fixture
def manager(base_path):
    managed = ModelManager("deepfm", base_path)
    yield managed
    managed.close(0)


@pytest.fixture
def ask(manager, movie_catalogue):
    """Return what the current version answers: its number, and its bias."""

    def answer():
        inputs = movie_catalogue.predict_inputs([0], [8])
        with manager.servable() as (version, model):
            rating = model.run("predict", inputs)[features.RATING.name]
        return version, round(float(rating[0]))

    return answer


def test_nothing_to_serve(tmp_path):
    manager = ModelManager("deepfm", tmp_path / "none")
    manager.poll()
    assert manager.version is None
    assert manager.states == {}
    with (
        pytest.raises(errors.ModelNotFound, match=r"^Servable not found for request: Latest\(deepfm\)$"),
        manager.servable(),
    ):
        pass


def test_the_newest_version_serves(manager, base_path, models, ask):
    versions.publish(models[2], base_path, fingerprint="two")
    manager.poll()
    assert ask() == (2, 2)
    assert manager.states == {2: VersionState(State.AVAILABLE)}


def test_a_newer_version_takes_over(manager, base_path, models, ask):
    manager.poll()
    assert ask() == (1, 1)
    versions.publish(models[2], base_path, fingerprint="two")
    manager.poll()
    assert ask() == (2, 2)
    assert manager.states == {1: VersionState(State.END), 2: VersionState(State.AVAILABLE)}
    with (
        pytest.raises(errors.ModelNotFound, match=r"Specific\(deepfm, 1\)"),
        manager.servable(1),
    ):
        pass


def test_a_broken_version_is_passed_over_until_it_is_mended(manager, base_path, models, broken_model, ask):
    manager.poll()
    version = versions.publish(broken_model, base_path, fingerprint="broken")
    manager.poll()
    assert ask() == (1, 1)
    assert manager.states[1] == VersionState(State.AVAILABLE)
    broken = manager.states[version]
    assert broken.state == State.END
    assert broken.code
    assert broken.message == f"cannot load {base_path / '2'}: Read less bytes than requested"
    manager.poll()
    assert manager.states[version] == broken
    shutil.copytree(models[3], base_path / "2", dirs_exist_ok=True)
    manager.poll()
    assert ask() == (2, 3)


def test_a_start_on_a_broken_version_falls_back(manager, base_path, broken_model, ask):
    versions.publish(broken_model, base_path, fingerprint="broken")
    manager.poll()
    assert ask() == (1, 1)


def test_failing_warm_up_fails_the_version(manager, base_path, models, ask):
    manager.poll()
    version = versions.publish(models[2], base_path, fingerprint="two")
    inputs = {"rounds": np.array([1.0], np.float32)}
    warmup.write_warmup_requests(base_path / "2" / warmup.REQUESTS, "deepfm", [("busy", inputs)])
    manager.poll()
    assert ask() == (1, 1)
    assert "Expects input rounds to be int64" in manager.states[version].message


def test_an_emptied_folder_changes_nothing(manager, base_path, ask):
    manager.poll()
    shutil.rmtree(base_path / "1")
    manager.poll()
    assert ask() == (1, 1)


def test_a_removed_version_gives_way_to_the_one_before(manager, base_path, models, ask):
    versions.publish(models[2], base_path, fingerprint="two")
    manager.poll()
    shutil.rmtree(base_path / "2")
    manager.poll()
    assert ask() == (1, 1)


def test_a_lent_model_outlives_the_switch(manager, base_path, models, movie_catalogue, ask):
    manager.poll()
    versions.publish(models[2], base_path, fingerprint="two")
    with manager.servable() as (version, model):
        switch = threading.Thread(target=manager.poll)
        switch.start()
        while manager.version == 1:
            assert switch.is_alive()
        assert ask() == (2, 2)
        assert manager.states[1] == VersionState(State.UNLOADING)
        rating = model.run("predict", movie_catalogue.predict_inputs([0], [8]))[features.RATING.name]
        assert (version, round(float(rating[0]))) == (1, 1)
    switch.join()
    assert manager.states[1] == VersionState(State.END)


@pytest.fixture
def three(base_path, models):
    """A serving folder with versions 1, 2 and 3."""
    versions.publish(models[2], base_path, fingerprint="two")
    versions.publish(models[3], base_path, fingerprint="three")
    return base_path


def loaded(manager):
    return sorted(version for version, state in manager.states.items() if state.state == State.AVAILABLE)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (Policy(), [3]),
        (Policy(latest=Policy.Latest(num_versions=2)), [2, 3]),
        (Policy(all=Policy.All()), [1, 2, 3]),
        (Policy(specific=Policy.Specific(versions=[1, 3, 9])), [1, 3]),
    ],
)
def test_the_policy_says_which_versions_serve(three, policy, served):
    manager = ModelManager("deepfm", three, policy)
    manager.poll()
    assert loaded(manager) == served
    for version in (1, 2, 3):
        if version in served:
            with manager.servable(version) as (answering, _):
                assert answering == version
        else:
            with pytest.raises(errors.ModelNotFound), manager.servable(version):
                pass
    manager.close(0)


def test_another_policy_loads_before_it_unloads(three, broken_model):
    manager = ModelManager("deepfm", three, Policy(specific=Policy.Specific(versions=[3])))
    manager.poll()
    versions.publish(broken_model, three, fingerprint="broken")
    manager.policy = Policy(specific=Policy.Specific(versions=[4]))
    manager.poll()
    assert loaded(manager) == [3]
    manager.policy = Policy(specific=Policy.Specific(versions=[1]))
    manager.poll()
    assert loaded(manager) == [1]
    manager.close(0)


def test_a_label_stands_for_a_version_that_serves(three):
    manager = ModelManager("deepfm", three, Policy(all=Policy.All()))
    manager.poll()
    manager.check_labels({"stable": 1, "canary": 3})
    manager.labels = {"stable": 1, "canary": 3}
    for label, version in (("stable", 1), ("canary", 3)):
        with manager.servable(label=label) as (answering, _):
            assert answering == version
    with (
        pytest.raises(errors.InvalidRequest, match=r"^Unrecognized servable version label: beta$"),
        manager.servable(label="beta"),
    ):
        pass
    with pytest.raises(
        errors.LabelUnavailable, match="assign label to version 9 of model deepfm, which is not"
    ):
        manager.check_labels({"stable": 9})
    with pytest.raises(errors.LabelUnavailable, match="to version 9 "):
        manager.check_labels({"stable": 9}, allow_unavailable=True)
    manager.check_labels({"stable": 1, "next": 9}, allow_unavailable=True)
    manager.labels = {"stable": 1, "next": 9}
    with pytest.raises(errors.ModelNotFound, match=r"Specific\(deepfm, 9\)"), manager.servable(label="next"):
        pass
    manager.close(0)
