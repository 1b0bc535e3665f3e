import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.dataset.generated import generate

ARCHITECTURES = ("first_order", "second_order", "deep", "deepfm", "gmf", "mlp", "neumf", "two_sided")


@pytest.fixture
def deepfm(monkeypatch, tmp_path):
    """Run a command in an empty folder; return its exit status and all that it printed."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    return invoke


def test_without_a_command_the_help_names_all_of_them(deepfm):
    _, printed = deepfm()
    commands = (
        "run retrain tune split-spans compile schedule submit backfill manifests generate-data status "
        "plot-model serve predict rank batch models canary promote rollback prune"
    )
    for command in commands.split():
        assert re.search(rf"│ {command} ", printed), command


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_architecture_is_drawn(deepfm, tmp_path, architecture):
    status, printed = deepfm("plot-model", "drawing.svg", "--architecture", architecture)
    assert status == 0, printed
    drawing = (tmp_path / "drawing.svg").read_text()
    assert "combination" in drawing
    assert "uid_index" in drawing
    assert ("hidden_1" in drawing) == (architecture in ("deep", "deepfm", "mlp", "neumf", "two_sided"))


def test_an_unknown_architecture_is_named(deepfm):
    status, printed = deepfm("plot-model", "--architecture", "wide")
    assert status == 1
    assert "`architecture` must be one of 'first_order'" in printed
    assert "got 'wide'" in printed


def test_data_that_does_not_exist_is_one_sentence(deepfm):
    status, printed = deepfm("run", "--data", "nowhere")
    assert status == 1
    assert len(printed.splitlines()) == 1
    assert "nowhere does not exist: DATA takes a folder, or a zip" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--data", "[/x]"), "[/x] does not exist"),
        (("run", "--data", "small", "--runs", "file"), "cannot write to"),
        (("run", "--data", "small", "--seed", "-1"), "--seed"),
        (("tune", "--data", "small", "--runs", "file"), "cannot write to"),
        (("tune", "--preset", "notebook"), "'notebook' is not one of"),
        (("plot-model", "no/such/model.png"), "no/such/model.png"),
        (("generate-data", "file"), "file"),
        (
            ("predict", "--uid", "1", "--mid", "1", "--model_base_path", "bare"),
            "version 1 in bare has no catal",
        ),
        (("status", "--runs", "damaged"), "summary.json is damaged"),
        (("serve", "port=1"), "a flag begins with --, got 'port=1'"),
    ],
)
def test_a_slip_is_a_few_words_and_no_stack_trace(deepfm, tmp_path, arguments, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "bare" / "1").mkdir(parents=True)
    (tmp_path / "bare" / "1" / "saved_model.pb").touch()
    (tmp_path / "damaged" / "ml-1m" / "latest").mkdir(parents=True)
    (tmp_path / "damaged" / "ml-1m" / "latest" / "summary.json").write_text("{")
    generate(tmp_path / "small", ratings=2000, users=50, movies=60)
    status, printed = deepfm(*arguments)
    misspelt = {"--seed", "--preset"} & set(arguments)
    assert status == (0 if arguments[0] == "status" else 2 if misspelt else 1)
    assert said in printed
    assert "Traceback" not in printed


def test_a_broken_zip_is_one_sentence(deepfm, tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"PK\x03\x04 and then nothing")
    status, printed = deepfm("run", "--data", "ml-1m.zip")
    assert status == 1
    assert len(printed.splitlines()) == 1
    assert "ml-1m.zip" in printed


def test_data_are_generated_as_asked_for(deepfm, tmp_path):
    status, printed = deepfm("generate-data", "small", "--ratings", "2000", "--users", "50", "--movies", "60")
    assert status == 0
    assert "2,000 ratings in small" in printed
    assert len((tmp_path / "small" / "ratings.dat").read_bytes().splitlines()) == 2000
    assert len((tmp_path / "small" / "users.dat").read_bytes().splitlines()) == 50


def test_ratings_are_split_into_days_that_need_a_date(deepfm, tmp_path):
    generate(tmp_path / "small", ratings=2000, users=50, movies=60)
    status, printed = deepfm("split-spans", "small", "daily")
    assert status == 0
    days = sorted(path.name for path in (tmp_path / "daily").glob("span-*"))
    quiet = sum(not path.stat().st_size for path in (tmp_path / "daily").glob("span-*/ratings.dat"))
    first, last = (name.removeprefix("span-") for name in (days[0], days[-1]))
    assert printed.splitlines() == [
        f"2,000 ratings in daily: {len(days):,} days from {first} to {last}",
        f"{quiet:,} of them have no ratings: an empty file",
    ]
    lines = b"".join(path.read_bytes() for path in (tmp_path / "daily").glob("span-*/ratings.dat"))
    assert sorted(lines.splitlines()) == sorted(
        (tmp_path / "small" / "ratings.dat").read_bytes().splitlines()
    )
    for arguments, said in (
        (("run", "--data", "daily"), f"daily is a folder of days, the last is {last}: give --date"),
        (("run", "--data", "small", "--date", last), "small is no folder of days: leave --date out"),
        (("run", "--data", "small", "--window", "7"), "small is no folder of days: leave --window out"),
        (
            ("run", "--data", "daily", "--date", "today"),
            "`run_date` must be a date like 2000-12-31, got 'today'",
        ),
        (
            ("run", "--data", "daily", "--date", last, "--split", "time"),
            "`split` must be random for a folder",
        ),
        (("tune", "--data", "daily"), "daily is a folder of days: give the ratings as one folder or zip"),
        (("retrain", "--data", "small"), "small is no folder of days; make one: `deepfm split-spans`"),
        (("retrain", "--data", "daily", "--date", "now"), "--date must be a date like 2000-12-31, got 'now'"),
        (("retrain", "--data", "daily", "--from", "1"), "--from must be a date like 2000-12-31, got '1'"),
        (
            ("retrain", "--data", "daily", "--date", last, "--every", "24"),
            "with --every the last day is yesterday, each time anew: leave --date out",
        ),
        (("split-spans", "daily", "again"), "daily is a folder of days already"),
        (("split-spans", "small", "daily"), "daily exists and is not empty: give a new folder"),
    ):
        status, printed = deepfm(*arguments)
        assert (status, len(printed.splitlines())) == (1, 1), printed
        assert said in printed
    unreadable = tmp_path / "daily" / days[-1] / "ratings.dat"
    unreadable.unlink()
    unreadable.mkdir()
    status, printed = deepfm("retrain", "--data", "daily", "--date", last)
    assert (status, len(printed.splitlines())) == (1, 1), printed
    assert re.search(rf"daily/{days[-1]}/ratings\.dat cannot be read: .*Is a directory", printed)


def test_what_a_search_is_told_is_in_its_help(deepfm):
    status, printed = deepfm("tune", "--help")
    assert status == 0
    assert "Search for better hyperparameters around a preset that is sampled" in printed
    assert "<default|fast|best>" in printed
    for option in ("--data", "--split", "--trials", "--preset", "--seed", "--runs"):
        assert re.search(rf"│ {option} ", printed), option
    status, printed = deepfm("tune", "--trials", "0")
    assert status == 2
    assert "--trials" in printed


def test_a_size_that_cannot_be_generated_is_refused(deepfm):
    status, printed = deepfm("generate-data", "small", "--ratings", "0")
    assert status == 1
    assert "`ratings`" in printed


@pytest.mark.parametrize("command", [("status",), ("serve",), ("predict", "--uid", "1", "--mid", "1")])
def test_before_the_first_run_a_command_says_what_to_do(deepfm, command):
    status, printed = deepfm(*command)
    assert status == 1
    assert "`deepfm run`" in printed


def test_the_help_appears_without_importing_tensorflow():
    heavy = "{'tensorflow', 'tfx', 'apache_beam'}"
    code = f"import sys; from pipeline import cli; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["Small_1"], "got 'deepfm-Small_1'; rename the dataset 'Small_1'"),
        (["small", "--volume", "deepfm"], "`volumes` must map a claim to an absolute path, got 'deepfm': ''"),
        (["small", "--window", "3"], "--window is for a folder of days: add --spans"),
        (["small", "--spans", "--split", "time"], "`split` must be random for a folder of days, got time"),
        (["small", "--pipeline-root", "/mnt"], "must begin with minio://, s3:// or gs://, got '/mnt'"),
    ],
)
def test_what_kubeflow_does_not_take_is_one_sentence(deepfm, tmp_path, options, message):
    paths = ("--image", "deepfm", "--data", "/mnt/data", "--root", "/mnt/runs")
    status, printed = deepfm("compile", "pipeline.yaml", *paths, "--dataset", *options)
    assert status == 1
    assert message in " ".join(printed.split())
    assert list(tmp_path.iterdir()) == []
