import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from schema import features
from serving import release, versions
from serving.client import Client
from serving.control import ModelControl, VersionStatus
from serving.errors import ServerUnavailable, ServingError
from serving.follower import Follower
from serving.production import model_server
from serving.production.config import ProductionConfig

RATING = features.RATING.name


@pytest.fixture
def serving(tmp_path, models, start_server):
    """A server that began with version 1, and a follower that is stepped by hand."""
    base_path = tmp_path / "serving" / "deepfm"
    for bias in (1, 2, 3):
        versions.publish(models[bias], base_path, fingerprint=str(bias))
    release.publish(base_path, 1)
    server = start_server(
        None,
        model_config_file=base_path.parent / "models.config",
        file_system_poll_wait_seconds=0.0,
        allow_version_labels_for_unavailable_models=True,
    )
    with ModelControl(f"127.0.0.1:{server.port}") as control:
        yield base_path, server, control, Follower(base_path, control)


def told(server):
    manager = server.core.models["deepfm"]
    return manager.available, dict(manager.labels)


def test_what_the_server_began_with_needs_no_step(serving):
    _, server, control, follower = serving
    assert told(server) == ([1], {"stable": 1, "canary": 1})
    assert control.labels("deepfm", ("stable", "canary", "other")) == {"stable": 1, "canary": 1}
    assert follower.step()
    assert told(server) == ([1], {"stable": 1, "canary": 1})


def test_a_release_is_loaded_beside_before_its_label_moves(serving):
    base_path, server, control, follower = serving
    release.publish(base_path, 2)
    with pytest.raises(
        ServingError,
        match="refused to be reconfigured: FAILED_PRECONDITION: Request to assign label to version 2",
    ):
        control.reload(release.models_config(base_path))
    assert not follower.step()
    assert told(server) == ([1, 2], {"stable": 1, "canary": 1})
    assert not follower.step()  # this one moves the labels
    assert follower.step()
    assert told(server) == ([1, 2], {"stable": 2, "canary": 2})


def test_a_canary_a_promotion_and_a_rollback_reach_the_server(serving):
    base_path, server, _, follower = serving

    def follow():
        return next(told(server) for _ in range(5) if follower.step())

    release.canary(base_path, 3, 10.0, "try")
    assert follow() == ([1, 3], {"stable": 1, "canary": 3})
    release.promote(base_path, 2, "better")
    assert follow() == ([1, 2, 3], {"stable": 2, "canary": 3})
    release.promote(base_path, 3, "best")
    assert follow() == ([2, 3], {"stable": 3, "canary": 3})
    release.rollback(base_path, "worse")
    assert follow() == ([1, 2], {"stable": 2, "canary": 2})
    release.rollback(base_path, "back to the start", version=1)
    assert follow() == ([1], {"stable": 1, "canary": 1})


def test_a_server_that_runs_begins_to_log_requests(serving):
    base_path, server, _, follower = serving
    release.log_requests(base_path, 0.5)
    follower.step()
    (log,) = server.core._request_logs.values()
    assert log.config == release.request_logging(base_path)
    release.log_requests(base_path, 0)
    follower.step()
    assert server.core._request_logs == {}


def test_a_version_that_cannot_be_loaded_never_gets_the_label(serving, broken_model, caplog):
    base_path, server, control, follower = serving
    broken = versions.publish(broken_model, base_path, fingerprint="broken")
    release.publish(base_path, broken)
    for _ in range(3):
        assert not follower.step()
    assert told(server) == ([1], {"stable": 1, "canary": 1})
    assert control.states("deepfm")[1] == VersionStatus("AVAILABLE")
    assert control.states("deepfm")[broken].state == "END"
    assert "version 4 could not be loaded, an earlier one goes on: " in caplog.text
    assert caplog.text.count("could not be loaded, an earlier one goes on") == 1
    release.rollback(base_path, "it is broken")
    assert follower.step() or follower.step()
    assert told(server) == ([1], {"stable": 1, "canary": 1})


def test_a_server_that_starts_with_a_broken_release_gets_an_earlier_one(
    serving, broken_model, start_server, tmp_path
):
    base_path, _, _, _ = serving
    release.publish(base_path, 3)
    release.rollback(base_path, "worse", version=2)
    broken = versions.publish(broken_model, base_path, fingerprint="broken")
    release.publish(base_path, broken)
    shutil.rmtree(base_path / "2")
    config = release.write_models_config(base_path)
    # Another server, which had no version before: it has to load one that was stable once.
    server = start_server(
        None,
        model_config_file=config,
        file_system_poll_wait_seconds=0.0,
        allow_version_labels_for_unavailable_models=True,
    )
    assert told(server) == ([], {"stable": 4, "canary": 4})
    with ModelControl(f"127.0.0.1:{server.port}") as control:
        follower = Follower(base_path, control)
        assert [follower.step() for _ in range(3)] == [False, False, False]
    assert told(server) == ([1], {"stable": 1, "canary": 1})


def test_labels_that_a_server_lost_come_back(serving):
    base_path, server, control, follower = serving
    assert follower.step()
    assert follower.step()
    control.reload(release.server_config("deepfm", base_path, [2], {}))
    assert told(server) == ([2], {})
    assert [follower.step() for _ in range(2)] == [False, True]
    assert told(server) == ([1], {"stable": 1, "canary": 1})


def test_a_follower_that_begins_half_way_goes_on(serving):
    base_path, server, control, follower = serving
    release.publish(base_path, 2)
    follower.step()
    release.publish(base_path, 3)
    another = Follower(base_path, control)
    assert [another.step() for _ in range(3)] == [False, False, True]
    assert told(server) == ([2, 3], {"stable": 3, "canary": 3})


def test_without_a_release_the_server_is_left_alone(tmp_path, models, start_server):
    base_path = tmp_path / "serving" / "deepfm"
    versions.publish(models[1], base_path, fingerprint="1")
    server = start_server(base_path)
    with ModelControl(f"127.0.0.1:{server.port}") as control:
        assert Follower(base_path, control).step()
        assert told(server) == ([1], {})
        release.publish(base_path, 1)
        follower = Follower(base_path, control)
        assert [follower.step() for _ in range(2)] == [False, True]
    assert told(server) == ([1], {"stable": 1, "canary": 1})


def test_no_server_is_said_so(tmp_path, models, free_port):
    base_path = tmp_path / "deepfm"
    versions.publish(models[1], base_path, fingerprint="1")
    release.publish(base_path, 1)
    with (
        ModelControl(f"127.0.0.1:{free_port()}") as control,
        pytest.raises(ServerUnavailable, match="no server"),
    ):
        Follower(base_path, control).step()


def test_the_process_follows_and_ends_with_the_one_that_started_it(serving, movie_catalogue):
    base_path, server, _, _ = serving
    config = ProductionConfig(
        serving_folder=PurePosixPath(base_path.parent), follower_image="deepfm:1.0", port=server.port
    )
    command = [sys.executable, *model_server.follower_command(config, "127.0.0.1")[1:]]
    # A shell stands for the server's process, and says the number of its child.
    parent = subprocess.Popen(
        ["sh", "-c", '"$@" 2>/dev/null & echo $!; wait', "sh", *command], stdout=subprocess.PIPE, text=True
    )
    follower = int(parent.stdout.readline())
    release.publish(base_path, 2)
    with Client(f"127.0.0.1:{server.port}", movie_catalogue) as client:
        deadline = time.monotonic() + 30
        while client.predict([(0, 8)])[0] < 1.5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while _runs(follower):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return re.search(r"^State:\s+Z", status, re.MULTILINE) is None
