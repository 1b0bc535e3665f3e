"""`deepfm retrain` in real processes: days in order, one call at a time, and calls that are killed."""

import contextlib
import csv
import dataclasses
import datetime
import io
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from components.ratings_example_gen import spans
from components.ratings_example_gen.config import RunDays
from pipeline import local
from pipeline.config import PRESETS
from pipeline.dataset.days import split_by_day
from pipeline.dataset.generated import generate
from pipeline.job import ALREADY_RUNNING, INTERRUPTED
from pipeline.run_options import RunRequest, find_dataset
from schema import features
from serving import release, versions
from tests.benchmarks import warm_start

FIRST, SECOND, THIRD = (datetime.date(2001, 1, number) for number in (1, 2, 3))
ROOT = Path(__file__).parents[2]
PRESET = "fast"  # sampled, as the default one is, but sooner
KILLED_IN = ("RatingsExampleGen", "Trainer", "Pusher")


@pytest.fixture(scope="module")
def project(new_project, tmp_path_factory):
    """A folder of days."""
    folder = tmp_path_factory.mktemp("retrain")
    generate(folder / "small", ratings=8_000, users=120, movies=80, seed=3)
    split_by_day(folder / "small", folder / "days", report=lambda share: None)
    return new_project(folder, "generated-days")


def up_to(last, first=FIRST):
    """Return the command that retrains up to a day."""
    days = (f"--from={first}", f"--date={last}", "--evaluation-days=60")
    return ("retrain", "--data=days", f"--preset={PRESET}", *days)


def table(project):
    """Return what the project says of each day."""
    with (project.home / "days.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def call(project, last, first=FIRST):
    """Retrain up to a day; return the exit status and the lines printed."""
    status, printed = project.deepfm(*up_to(last, first))
    return status, printed.splitlines()


@pytest.fixture(scope="module")
def killed(project):
    """Kill calls for the first day, and then let one come to its end; return its status and lines."""
    for node in KILLED_IN:
        project.kill_in(node, *up_to(FIRST))
    return call(project, FIRST)


def test_a_day_whose_calls_were_killed_is_neither_lost_nor_doubled(project, killed):
    status, printed = killed
    assert status == 0, printed
    assert [row["day"] for row in table(project)] == [str(FIRST)]
    assert (table(project)[0]["version"], table(project)[0]["done"]) == ("1", "True")
    assert versions.versions(project.serving) == [1]
    assert release.served(project.serving) == 1
    assert len(release.releases(project.serving)) == 1
    assert not list(project.serving.glob(".incoming-*"))
    executions = project.executions()
    # Pusher may have ended before the signal came.
    assert (executions["RatingsExampleGen", "FAILED"], executions["Trainer", "FAILED"]) == (1, 1)
    assert not [node for node, state in executions if state == "RUNNING"]
    assert {node for node, state in executions if state in ("COMPLETE", "CACHED")} >= set(KILLED_IN)
    assert sorted(path.name for path in project.home.iterdir() if "partial" in path.name) == []


def worker_of(command):
    """Return the process in which a command runs the pipeline, of its children; None where there is none."""
    for child in Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a library's, which has ended since
            if b"pipeline.local_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


def test_a_worker_that_the_kernel_kills_is_no_success(project, killed):
    done = table(project)
    command = project.start(*up_to(SECOND))
    while not (worker := worker_of(command)):
        assert command.poll() is None, command.stdout.read()
        time.sleep(0.01)
    os.kill(worker, signal.SIGKILL)
    printed, _ = command.communicate(timeout=60)
    status = 128 + signal.SIGKILL
    assert command.returncode == status, printed
    assert f"the run ended with status {status} before it could say why" in printed.splitlines()
    assert table(project) == done


def test_a_second_call_beside_one_that_runs_goes_away(project, killed):
    before = set(project.home.glob("history/*"))
    running = project.start(*up_to(SECOND))
    try:
        while not set(project.home.glob("history/*")) - before:
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.01)
        status, printed = call(project, SECOND)
        assert (status, printed) == (
            ALREADY_RUNNING,
            [f"another run works in {project.home}; wait for it to end"],
        )
    finally:
        printed, _ = running.communicate(timeout=300)
    assert running.returncode == 0, printed
    lines = printed.splitlines()
    assert lines[0] == f"generated-days, {SECOND} to {SECOND}"
    assert lines[2].startswith(str(SECOND))
    assert lines[2].endswith("version 2")
    assert lines[3] == f"table {project.home / 'days.csv'}, plot {project.home / 'days.svg'}"
    assert len(lines) == 4
    first, second = table(project)
    assert (first["version"], second["version"]) == ("1", "2")
    # Both were measured on the days of the second.
    summary = project.summary()
    assert summary["start"]["version"] == 1
    assert summary["evaluation"]["baseline"] == "compared with version 1"
    assert float(second["rmse_before"]) == pytest.approx(float(first["rmse_after"]), abs=0.05)
    assert second["new_users"] == str(summary["start"]["entries"][features.UID.name]["new"])


def test_the_warm_training_of_a_past_day_is_compared_with_a_cold_one(project, killed):
    """By the benchmark that needs such runs; the last one began with version 1."""
    compared = subprocess.run(
        [sys.executable, ROOT / "tests" / "benchmarks" / "warm_start.py", project.home, PRESET],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "120", "PYTHONPATH": str(ROOT)},
    )
    assert compared.returncode == 0, compared.stderr
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in compared.stdout.splitlines() if "│" in line]
    (tested, cold, warm, change, steps, *_), mean = rows
    summary, train = project.summary(), PRESETS[PRESET].train
    assert tested == f"{summary['rows_by_split']['test']:,}"
    assert steps == f"{train.burn_in}, {train.warm_burn_in}"
    assert float(warm) == pytest.approx(summary["metrics"]["test"]["overall"]["rmse"], abs=1e-3)
    assert 0 < abs(float(cold) - float(warm)) < 0.05
    assert float(change) == pytest.approx(float(warm) - float(cold), abs=2e-4)
    assert mean == ["mean", *rows[0][1:]]


def test_the_comparison_needs_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["warm_start.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=f"{tmp_path}/metadata.sqlite does not exist; RUNS is the folder of"):
        warm_start.main()
    assert not list(tmp_path.iterdir())


def test_a_late_day_is_due_until_it_is_there(project, killed):
    folder = project.folder / "days" / spans.folder(THIRD)
    done = table(project)
    shutil.move(folder, project.folder / "late")
    status, printed = call(project, THIRD)
    assert status == 1
    assert len(printed) == 1
    assert printed[0].startswith(f"missing or late: {THIRD}; ")
    assert table(project) == done
    shutil.move(project.folder / "late", folder)
    (folder / "ratings.dat").write_bytes(b"1::1::9::978480000\n" * 500)
    status, printed = call(project, THIRD)
    assert status == 1
    assert [line.rstrip() for line in printed].count("failed RatingsExampleGen") == 1
    refused = table(project)[-1]
    assert refused["decision"] == "refused by RatingsExampleGen"
    assert "ratings.dat: 500 of " in refused["reason"]
    assert versions.versions(project.serving)[-1] == int(done[-1]["version"])
    # Not again, until the day is delivered anew.
    assert call(project, THIRD) == (0, [f"generated-days: no day up to {THIRD} is due"])


def test_a_day_before_those_that_are_done_is_refused(project, killed):
    early = FIRST - datetime.timedelta(days=1)
    status, printed = call(project, THIRD, first=early)
    assert status == 1
    assert len(printed) == 1
    assert printed[0].startswith(f"--from {early} is too early: {FIRST} is done, ")


def test_a_run_for_a_person_leaves_the_days_as_they_are_and_what_old_runs_left_goes(project, killed):
    days = table(project)
    refused = project.summary()
    assert Path(refused["rejected_rows"]).exists()
    request = RunRequest(
        dataset=find_dataset(str(project.folder / "days"), project.folder / "runs"),
        runs=project.folder / "runs",
        preset=PRESET,
        seed=0,
        days=RunDays(run_date=str(SECOND), evaluation_days=60),
    )
    config = dataclasses.replace(request.config, keep_runs=1)
    with local.locked(config.root) as lock:
        outcome = local.run(config, request.facts, Console(file=io.StringIO()), lock)
    assert (outcome.status, outcome.summary["pushed_version"]) == (0, 2)
    # Beside it, what the first day made, whose version could be served again.
    assert {node: len(list((config.artifacts / node).glob("*/*"))) for node in KILLED_IN} == {
        "RatingsExampleGen": 6,
        "Trainer": 4,
        "Pusher": 2,
    }
    assert not Path(refused["rejected_rows"]).exists()
    logs = list(project.home.glob("history/*/run.log"))
    assert logs == [(project.home / "latest" / "run.log").resolve()]
    assert call(project, THIRD) == (0, [f"generated-days: no day up to {THIRD} is due"])
    assert table(project) == days


def test_with_every_it_looks_again_until_it_is_told_to_end(new_project, tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    if (later := now + datetime.timedelta(minutes=5)).date() != now.date():
        # Another day would be due in the middle of it.
        time.sleep((datetime.datetime.combine(later.date(), datetime.time(), datetime.UTC) - now).seconds + 1)
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    folder = tmp_path / "days" / spans.folder(yesterday)
    before = folder.with_name(spans.folder(yesterday - datetime.timedelta(days=1)))
    generate(tmp_path / "days", ratings=2_000, users=50, movies=60, seed=3)
    before.mkdir()
    (tmp_path / "days" / "ratings.dat").rename(before / "ratings.dat")
    late = tmp_path / "late"
    late.mkdir()
    (late / "ratings.dat").write_bytes(b"1::1::9::978480000\n" * 500)
    project = new_project(tmp_path, "generated-days")
    command = ("retrain", "--data=days", "--every=0.001", "--window=1", "--evaluation-days=1")
    with project.start(*command, f"--from={yesterday}") as process:
        assert process.stdout.readline().startswith(f"missing or late: {yesterday}; ")
        late.rename(folder)
        lines = list(itertools.takewhile(lambda line: not line.startswith("table "), process.stdout))
        (told,) = (line for line in lines if line.startswith(str(yesterday)))
        assert "refused by RatingsExampleGen: " in told
        assert process.stdout.readline() == f"generated-days: no day up to {yesterday} is due\n"
        time.sleep(0.3)  # until it waits
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() in ("", f"generated-days: no day up to {yesterday} is due\n")
    # Delivered again, the day is due; this time the signal cuts it off.
    shutil.copytree(before, folder / "version-2")
    history = project.home / "history"
    runs = set(history.iterdir())
    with project.start(*command) as process:
        assert process.stdout.readline() == f"generated-days, {yesterday} to {yesterday}\n"
        while not set(history.iterdir()) - runs:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        time.sleep(0.3)  # until its worker has begun
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == INTERRUPTED
        assert process.stdout.read().splitlines()[1:] == [
            "interrupted; the next run goes on from the last finished node"
        ]
