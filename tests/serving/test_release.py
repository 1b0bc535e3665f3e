import datetime
import getpass
import json
import os
import pwd
import shutil
import socket
from concurrent import futures

import pytest
from google.protobuf import text_format

from serving import errors, release, versions
from serving.protos import model_server_config_pb2


@pytest.fixture
def base(tmp_path):
    """A serving folder with versions 1, 2 and 3."""
    folder = tmp_path / "serving" / "deepfm"
    for version in (1, 2, 3):
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").touch()
    return folder


def told(base):
    """The versions and labels that models.config tells servers; None for the policy `latest`."""
    text = (base.parent / "models.config").read_text()
    (model,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("deepfm", str(base), "tensorflow")
    if model.model_version_policy.HasField("latest"):
        assert model.model_version_policy.latest.num_versions == 1
        return None, dict(model.version_labels)
    return list(model.model_version_policy.specific.versions), dict(model.version_labels)


def test_where_nothing_was_released_the_latest_is_served(base, tmp_path):
    assert release.current(base) == release.Release()
    assert release.served(base) == 3
    assert release.served(tmp_path / "nowhere") is None
    release.write_models_config(base)
    assert told(base) == (None, {})


def test_a_published_version_is_the_stable_one_and_the_one_before_stays_loaded(base):
    release.publish(base, 1)
    assert told(base) == ([1], {"stable": 1, "canary": 1})
    now = release.publish(base, 2)
    assert (now.stable, now.previous, now.action) == (2, 1, "publish")
    assert told(base) == ([1, 2], {"stable": 2, "canary": 2})
    assert release.served(base) == 2


def test_a_canary_is_labelled_promoted_and_ended(base):
    release.publish(base, 2)
    release.canary(base, 3, 5.0, "new features")
    assert told(base) == ([2, 3], {"stable": 2, "canary": 3})
    assert release.served(base) == 2
    assert release.current(base).canary_percent == 5.0
    now = release.promote(base, 3, "better for a week")
    assert (now.stable, now.previous, now.canary, now.canary_percent) == (3, 2, None, 0.0)
    assert told(base) == ([2, 3], {"stable": 3, "canary": 3})
    release.canary(base, 1, 50.0, "")
    assert release.canary(base, 1, 0.0, "no").canary is None
    assert told(base) == ([2, 3], {"stable": 3, "canary": 3})


def test_a_canary_goes_on_while_another_version_is_published(base):
    release.publish(base, 1)
    release.canary(base, 2, 10.0, "")
    release.publish(base, 3)
    assert told(base) == ([1, 2, 3], {"stable": 3, "canary": 2})


def test_after_a_rollback_no_newer_version_is_loaded_that_a_request_without_label_would_get(base):
    release.publish(base, 2)
    release.publish(base, 3)
    now = release.rollback(base, "complaints")
    assert (now.stable, now.previous) == (2, None)
    assert told(base) == ([2], {"stable": 2, "canary": 2})
    assert release.served(base) == 2
    release.rollback(base, "all the way", version=1)
    assert told(base) == ([1], {"stable": 1, "canary": 1})


def test_a_rollback_ends_the_canary(base):
    release.publish(base, 1)
    release.publish(base, 2)
    release.canary(base, 3, 5.0, "")
    assert release.rollback(base, "broken").canary is None
    assert told(base) == ([1], {"stable": 1, "canary": 1})


def test_pushing_a_version_again_does_not_undo_a_rollback(base):
    release.publish(base, 2)
    release.publish(base, 3)
    release.rollback(base, "worse")
    assert release.publish(base, 3).stable == 2
    assert told(base) == ([2], {"stable": 2, "canary": 2})


def test_who_when_and_why_are_kept(base):
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    release.publish(base, 1)
    release.promote(base, 3, "by hand")
    release.rollback(base, "worse")
    kept = release.releases(base)
    assert [(r.action, r.stable, r.reason) for r in kept] == [
        ("publish", 1, "pushed"),
        ("promote", 3, "by hand"),
        ("rollback", 1, "worse"),
    ]
    assert {r.who.split("@")[0] for r in kept} == {getpass.getuser()}
    assert all(before <= datetime.datetime.fromisoformat(r.time) for r in kept)


def test_a_user_without_a_name_is_told_by_number(base, monkeypatch):
    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    assert release.publish(base, 1).who == f"{os.getuid()}@{socket.gethostname()}"


def test_the_same_again_changes_nothing(base):
    first = release.publish(base, 2)
    assert release.publish(base, 2) == first
    assert len(release.releases(base)) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda base: release.promote(base, 9, ""),
            errors.ModelNotFound,
            "no version 9 in .*; versions there: 1",
        ),
        (lambda base: release.canary(base, 9, 5.0, ""), errors.ModelNotFound, "no version 9"),
        (lambda base: release.canary(base, 2, 5.0, ""), errors.InvalidRequest, "version 2 is the stable one"),
        (lambda base: release.canary(base, 3, 101.0, ""), ValueError, "from 0 to 100, got 101"),
        (lambda base: release.rollback(base, ""), errors.InvalidRequest, "no version was stable before"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(base, change, error, message):
    release.publish(base, 2)
    with pytest.raises(error, match=message):
        change(base)
    assert len(release.releases(base)) == 1
    assert told(base) == ([2], {"stable": 2, "canary": 2})


def test_a_line_that_a_crash_cut_short_never_was(base):
    release.publish(base, 1)
    path = base / "releases.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"stable": 3, "previ')
    assert release.current(base).stable == 1
    release.publish(base, 2)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 2
    assert lines[0] == whole.strip()
    assert json.loads(lines[1])["stable"] == 2


def test_a_damaged_line_is_named(base):
    (base / "releases.jsonl").write_text('{"stable": 1, "canary": 1}\n{"stabel": 2}\n')
    with pytest.raises(ValueError, match=r"releases\.jsonl, line 2, is no release: .*stabel"):
        release.current(base)


def test_a_stable_version_that_was_removed_gives_way_to_the_latest(base):
    release.publish(base, 3)
    shutil.rmtree(base / "3")
    assert release.served(base) == 2
    release.write_models_config(base)
    assert told(base) == (None, {})


def test_pruning_spares_the_newest_the_released_and_the_loaded(base):
    for version in range(4, 10):
        shutil.copytree(base / "1", base / str(version))
    for stable in (1, 2, 3, 4):
        release.publish(base, stable)
    release.canary(base, 6, 1.0, "")
    assert release.prune(base, keep=2, spare=[1]) == [5, 7]
    assert versions.versions(base) == [1, 2, 3, 4, 6, 8, 9]
    assert release.prune(base, keep=2) == [1]
    assert release.prune(base, keep=2) == []
    with pytest.raises(ValueError, match="`keep` must be at least 1, got 0"):
        release.prune(base, keep=0)


def test_where_nothing_was_released_the_newest_stay(base, tmp_path):
    assert release.prune(base, keep=1) == [1, 2]
    assert versions.versions(base) == [3]
    assert release.prune(tmp_path / "nowhere", keep=1) == []


def test_a_pruning_that_was_killed_is_finished_by_the_next(base, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            release.prune(base, keep=1)
    assert versions.versions(base) == [2, 3]
    assert len(list(base.glob(".outgoing-*"))) == 1
    assert release.prune(base, keep=1) == [2]
    assert not list(base.glob(".outgoing-*"))


def test_a_second_rollback_goes_further_back_and_not_to_what_was_rolled_back(base):
    for version in (1, 2, 3):
        release.promote(base, version, "")
    assert release.rollback(base, "worse").stable == 2
    assert told(base) == ([1, 2], {"stable": 2, "canary": 2})
    assert release.rollback(base, "worse still").stable == 1
    with pytest.raises(errors.InvalidRequest, match="no version was stable before"):
        release.rollback(base, "and again")
    with pytest.raises(errors.InvalidRequest, match="version 1 is the stable one already"):
        release.rollback(base, "", version=1)
    release.promote(base, 3, "mended")
    assert release.rollback(base, "not so").stable == 1


def test_in_place_of_versions_that_were_removed_come_those_before(base):
    release.promote(base, 1, "")
    release.promote(base, 3, "")
    release.canary(base, 2, 5.0, "")
    shutil.rmtree(base / "3")
    shutil.rmtree(base / "2")
    assert release.served(base) == 1
    assert release.fallbacks(base) == [1]
    release.write_models_config(base)
    assert told(base) == ([1], {"stable": 1, "canary": 1})


def test_a_version_that_was_rolled_back_does_not_take_the_place_of_one_that_was_removed(base):
    for version in (1, 2, 3):
        release.promote(base, version, "")
    release.rollback(base, "worse")
    shutil.rmtree(base / "2")
    assert release.served(base) == 1


def test_a_canary_needs_a_stable_version(base):
    with pytest.raises(errors.InvalidRequest, match="no version is stable yet"):
        release.canary(base, 2, 5.0, "")
    assert not (base / "releases.jsonl").exists()


def test_the_model_is_named_as_its_folder(base):
    films = base.rename(base.with_name("films"))
    release.publish(films, 1)
    text = (films.parent / "models.config").read_text()
    (model,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert model.name == "films"


def test_writers_at_the_same_time_do_not_disturb_each_other(base):
    release.publish(base, 1)

    def promote(turn):
        release.promote(base, 1 + turn % 3, str(turn))
        release.write_models_config(base)

    with futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(promote, range(100)))
    stable = release.current(base).stable
    assert told(base)[1] == {"stable": stable, "canary": stable}


def test_requests_are_logged_over_every_move_of_a_label_until_that_is_ended(base):
    def logged():
        text = (base.parent / "models.config").read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        (model,) = config.model_config_list.config
        if not model.HasField("logging_config"):
            return None
        log = model.logging_config
        return (
            log.log_collector_config.type,
            log.log_collector_config.filename_prefix,
            log.sampling_config.sampling_rate,
        )

    release.publish(base, 1)
    assert logged() is None
    release.log_requests(base, 0.25)
    prefix = str(base.parent / "request_log" / "deepfm")
    assert logged() == ("tfrecord", prefix, 0.25)
    release.publish(base, 2)
    assert (logged(), told(base)[1]["stable"]) == (("tfrecord", prefix, 0.25), 2)
    release.log_requests(base, 0)
    release.rollback(base, "worse")
    assert logged() is None
    with pytest.raises(ValueError, match=r"the share of requests to log must be from 0 to 1, got 1\.5"):
        release.log_requests(base, 1.5)
    (base / "request_logging.config").write_text("nonsense")
    with pytest.raises(ValueError, match=r"request_logging\.config is no LoggingConfig"):
        release.models_config(base)
