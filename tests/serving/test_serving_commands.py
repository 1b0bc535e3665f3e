"""`deepfm predict`, `rank` and `models` against real servers; beside the models that those serve."""

import getpass
import re
import shutil
import socket
from concurrent import futures

import grpc
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from components.ratings_example_gen.properties import FIRST_RATING, LAST_RATING
from pipeline import cli
from schema import features
from serving import catalogue, rated, release, versions

PREDICT = ("predict", "--uid", "1", "--mid", "8")
CANARY_USER = "3"  # one of the 25% that `CanaryRouter` chooses
BASE = 1 / 4 + 1 / 2 + 1 / 1024 + 10 / 2048 + 5 / 4096  # of user 1


@pytest.fixture
def base_path(tmp_path, models):
    """Version 1 is stable and knows that user 1 has rated 661; version 2, one star above, is the canary."""
    model = tmp_path / "model"
    shutil.copytree(models[1], model)
    pairs = pa.table({features.UID.name: [1], features.MID.name: [661]})
    rated.write_part(pairs, model / catalogue.FOLDER, part=0, parts=1)
    folder = tmp_path / "serving" / "deepfm"
    entries = {
        "dataset": "tiny",
        "test_rmse": 0.875,
        versions.BLESSED: True,
        FIRST_RATING: 956703932,
        LAST_RATING: 1046454590,
    }
    versions.publish(model, folder, fingerprint="one", entries=entries)
    versions.publish(models[2], folder, fingerprint="two")
    release.promote(folder, 1, "first")
    release.canary(folder, 2, 25, "try it")
    return folder


@pytest.fixture
def deepfm(base_path):
    """Run a command on the folder; return its exit status and the lines that it printed."""

    def run(*arguments):
        result = CliRunner().invoke(cli.app, [*arguments, "--model_base_path", str(base_path)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output.splitlines()

    return run


@pytest.fixture
def target(base_path, start_server):
    """A server of both versions and their labels."""
    config_file = release.write_models_config(base_path)
    server = start_server(
        None, model_config_file=config_file, allow_version_labels_for_unavailable_models=True
    )
    return "--target", f"127.0.0.1:{server.port}"


def _mids(lines):
    return [int(line.split()[0]) for line in lines[1:-1]]


def test_the_stable_version_answers(deepfm, target):
    status, lines = deepfm(*PREDICT, *target)
    assert status == 0, lines
    assert [line.split() for line in lines] == [
        [features.MID.name, features.TITLE.name, features.RATING.name],
        ["8", "Eight", f"{1 + BASE:.2f}"],
        ["answered", "by", "version", "1"],
    ]


def test_the_moment_that_is_asked_about(deepfm, target):
    early = ("--time", "1970-01-01T00:17:03")  # 1,023 seconds are 0.12 stars
    status, lines = deepfm(*PREDICT, *early, *target)
    assert (status, lines[1].split()[-1]) == (0, f"{1 + BASE + 1023 / 8192:.2f}")
    status, lines = deepfm("rank", "--uid", "1", *early, *target)
    assert (status, lines[2].split()[-1]) == (0, f"{1 + BASE + 1023 / 8192:.2f}")
    status, lines = deepfm(*PREDICT, "--time", "1969-12-31", *target)
    assert (status, lines) == (1, ["--time must be from 1970 to 2099, got 1969-12-31 00:00:00"])


@pytest.mark.parametrize(
    ("uid", "options", "version"),
    [
        (CANARY_USER, (), 2),
        (CANARY_USER, ("--label", "stable"), 1),
        (CANARY_USER, ("--version", "1"), 1),
        ("1", ("--label", "canary"), 2),
        ("1", ("--version", "2"), 2),
    ],
)
@pytest.mark.parametrize("command", [("predict", "--mid", "8"), ("rank",)])
def test_another_version_answers(deepfm, target, command, uid, options, version):
    status, lines = deepfm(*command, "--uid", uid, *options, *target)
    assert status == 0, lines
    assert lines[-1 if version == 1 or command[0] == "predict" else -2] == f"answered by version {version}"


def test_a_version_without_labels_is_the_latest(deepfm, base_path, start_server):
    (base_path / "releases.jsonl").unlink()
    server = start_server(base_path)
    status, lines = deepfm(*PREDICT, "--target", f"127.0.0.1:{server.port}")
    assert (status, lines[-1]) == (0, "answered by version 2")


def test_what_the_user_has_rated_is_left_out(deepfm, target):
    rank = ("rank", "--uid", "1", *target)
    status, lines = deepfm(*rank)
    assert (status, _mids(lines), lines[-1]) == (0, [1193, 8], "answered by version 1")
    status, lines = deepfm(*rank, "--include-rated")
    assert (status, _mids(lines), lines[-1]) == (0, [661, 1193, 8], "answered by version 1")
    status, lines = deepfm(*rank, "--version", "2")
    assert (status, _mids(lines[:-1])) == (0, [661, 1193, 8])
    assert lines[-1] == "this version does not know who has rated what: nothing is left out"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--version", "1", "--label", "stable"), "give --version or --label, not both"),
        (("--version", "9"), "no version 9 in .*; versions there: 1, 2"),
        (("--label", "best"), "no version has the label 'best'; labels: stable, canary"),
        (("--tls-cert", "a.pem"), "belong together, got certificate_chain alone: a.pem"),
        (("--tls-ca", "absent.pem"), "`root_certificates`: there is no file absent.pem"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(deepfm, options, said):
    status, lines = deepfm(*PREDICT, *options)
    assert status == 1
    assert len(lines) == 1
    assert re.search(said, lines[0])


def test_no_server_is_one_sentence(deepfm):
    status, lines = deepfm(*PREDICT, "--target", "127.0.0.1:1")
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith("no server at 127.0.0.1:1; start one with `deepfm serve` (")


def test_the_versions_are_listed(deepfm, target):
    status, (header, first, second) = deepfm("models", *target)
    assert status == 0
    assert re.split(r"\s{2,}", header.strip()) == [
        "version", "label", "state", "dataset", "ratings from", "to", "test RMSE", "blessed", "published",
        "MB",
    ]  # fmt: skip
    cells = re.split(r"\s{2,}", first.strip())
    assert cells[:8] == ["1", "stable", "AVAILABLE", "tiny", "2000-04-25", "2003-02-28", "0.8750", "yes"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", cells[8])
    assert re.fullmatch(r"\d+\.\d", cells[9])
    assert re.split(r"\s{2,}", second.strip())[:8] == [
        "2",
        "canary 25%",
        "AVAILABLE",
        "-",
        "-",
        "-",
        "-",
        "-",
    ]


def test_without_a_server_the_versions_are_listed_all_the_same(deepfm):
    status, lines = deepfm("models", "--target", "127.0.0.1:1")
    assert status == 0
    assert re.split(r"\s{2,}", lines[1].strip())[:4] == ["1", "stable", "-", "tiny"]
    assert len(lines) == 4
    assert lines[3].startswith("the states are not known: no server at 127.0.0.1:1; start one")


def test_a_server_that_has_no_such_service_is_one_sentence(deepfm):
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    status, lines = deepfm("models", "--target", f"127.0.0.1:{port}")
    server.stop(0)
    assert (status, len(lines)) == (0, 4)
    assert lines[3].startswith(f"the states are not known: 127.0.0.1:{port} failed with UNIMPLEMENTED")


def test_a_server_of_another_model_is_one_sentence(deepfm, base_path, start_server):
    server = start_server(base_path, model_name="other")
    status, lines = deepfm("models", "--target", f"127.0.0.1:{server.port}")
    assert (status, len(lines)) == (0, 4)
    assert f"127.0.0.1:{server.port} does not serve the model" in lines[3]


def test_over_tls(deepfm, base_path, start_server, authority, write_ssl_config):
    config_file = release.write_models_config(base_path)
    ssl_config_file = write_ssl_config(client_verify=True)
    server = start_server(
        None,
        model_config_file=config_file,
        ssl_config_file=ssl_config_file,
        allow_version_labels_for_unavailable_models=True,
    )
    chain, private = authority.issue("client")
    target = ("--target", f"127.0.0.1:{server.port}")
    tls = ("--tls-ca", str(authority.path), "--tls-cert", str(chain), "--tls-key", str(private))
    status, lines = deepfm("rank", "--uid", "1", *target, *tls)
    assert (status, _mids(lines), lines[-1]) == (0, [1193, 8], "answered by version 1")
    status, lines = deepfm(*PREDICT, *target, *tls)
    assert (status, lines[-1]) == (0, "answered by version 1")
    status, lines = deepfm("models", *target, *tls)
    assert (status, lines[1].split()[2]) == (0, "AVAILABLE")
    status, lines = deepfm("models", *target)
    assert (status, len(lines)) == (0, 4)
    assert lines[3].startswith(f"the states are not known: no server at {target[1]}")


def test_a_pruning_that_cannot_ask_the_server_removes_nothing(deepfm, base_path, target):
    status, lines = deepfm("prune", "--keep", "1", "--target", "127.0.0.1:1")
    assert (status, len(lines)) == (1, 1)
    assert lines[0].endswith("what it has loaded is not known: give --target, or --offline if none runs")
    assert versions.versions(base_path) == [1, 2]
    assert deepfm("prune", "--keep", "1", *target) == (0, ["nothing to remove"])
    assert deepfm("prune", "--keep", "1", "--offline") == (0, ["nothing to remove"])


def test_a_server_does_not_start_where_another_listens(deepfm, target):
    status, lines = deepfm("serve", "--port", target[1].split(":")[1])
    assert status == 1
    assert "is taken: stop what listens there, or choose another port" in " ".join(lines)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model_config_file=a",), "give --model_base_path or --model_config_file, not both"),
        (("--model_name=films",), "the model's name is that of its folder, 'deepfm'"),
        (("port=1",), "a flag begins with --, got 'port=1'"),
        (("--log_requests=2",), "the share of requests to log must be from 0 to 1, got 2.0"),
        (("--log_requests=many",), "could not convert string to float: 'many'"),
        (("--port=x",), "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_wrong_flags_of_the_server_are_one_sentence(deepfm, flags, message):
    status, lines = deepfm("serve", *flags)
    assert (status, message in " ".join(lines)) == (1, True)


def test_a_server_without_a_collector_is_not_told_to_log(deepfm, base_path, tmp_path, monkeypatch):
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    status, lines = deepfm("serve", "--port=0", "--log_requests=0.5")
    assert status == 1
    assert "comes without a collector for logged requests: --log_requests=0 ends" in " ".join(lines)
    assert release.request_logging(base_path) is None


def test_the_record_is_listed(deepfm, base_path):
    status, lines = deepfm("models", "--history")
    assert (status, len(lines)) == (0, 3)
    first, second = (re.split(r"\s{2,}", line.strip()) for line in lines[1:])
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    assert first[1:] == [who, "promote", "1", "-", "first"]
    assert second[1:] == [who, "canary", "1", "2 to 25%", "try it"]
    assert first[0] == release.releases(base_path)[0].time
