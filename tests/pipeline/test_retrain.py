"""`deepfm retrain` in real processes: days in order, one call at a time, and calls that are killed."""

import csv
import datetime
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution
from tfx.orchestration import metadata

from components.ratings_example_gen import spans
from pipeline.dataset.days import split_by_day
from pipeline.dataset.generated import generate
from pipeline.job import ALREADY_RUNNING, INTERRUPTED
from schema import features
from serving import release, versions

FIRST, SECOND, THIRD = (datetime.date(2001, 1, number) for number in (1, 2, 3))
KILLED_IN = ("RatingsExampleGen", "Trainer", "Pusher")


def start(folder, *arguments, **options):
    """Retrain on a folder's `days`, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", "retrain", "--data=days", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )


class Days:
    """A folder of days, and what retraining on it leaves behind."""

    def __init__(self, folder):
        self.folder = folder
        generate(folder / "small", ratings=8_000, users=120, movies=80, seed=3)
        split_by_day(folder / "small", folder / "days", report=lambda share: None)
        self.home = folder / "runs" / "generated-days"
        self.serving = self.home / "serving" / "deepfm"

    def start(self, last, first=FIRST, **options):
        dates = ("--from", str(first), "--date", str(last), "--evaluation-days", "60")
        return start(self.folder, *dates, **options)

    def call(self, last, first=FIRST):
        """Retrain up to a day; return the exit status and the lines printed."""
        process = self.start(last, first)
        printed, _ = process.communicate(timeout=300)
        return process.returncode, printed.splitlines()

    def kill_in(self, node, last):
        """Retrain up to a day, and kill all of it once a node has begun."""
        folder = self.home / "artifacts" / node
        before = set(folder.glob("*/*"))
        process = self.start(last, process_group=0)
        deadline = time.monotonic() + 200
        while not set(folder.glob("*/*")) - before:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def table(self):
        with (self.home / "days.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def executions(self):
        """Return the number of executions by node and state."""
        connection = metadata.sqlite_metadata_connection_config(str(self.home / "metadata.sqlite"))
        with metadata.Metadata(connection) as handle:
            return Counter(
                (context.name.split(".")[-1], Execution.State.Name(execution.last_known_state))
                for context in handle.store.get_contexts_by_type("node")
                for execution in handle.store.get_executions_by_context(context.id)
            )


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return Days(tmp_path_factory.mktemp("retrain"))


@pytest.fixture(scope="module")
def killed(days):
    """Kill calls for the first day, and then let one come to its end; return its status and lines."""
    for node in KILLED_IN:
        days.kill_in(node, FIRST)
    return days.call(FIRST)


def test_a_day_whose_calls_were_killed_is_neither_lost_nor_doubled(days, killed):
    status, printed = killed
    assert status == 0, printed
    assert [row["day"] for row in days.table()] == [str(FIRST)]
    assert (days.table()[0]["version"], days.table()[0]["done"]) == ("1", "True")
    assert versions.versions(days.serving) == [1]
    assert release.served(days.serving) == 1
    assert len(release.releases(days.serving)) == 1
    assert not list(days.serving.glob(".incoming-*"))
    executions = days.executions()
    assert not [node for node, state in executions if state == "RUNNING"]
    # Pusher may have ended before the signal came.
    assert (executions["RatingsExampleGen", "FAILED"], executions["Trainer", "FAILED"]) == (1, 1)
    assert not [node for node, state in executions if state == "RUNNING"]
    assert {node for node, state in executions if state in ("COMPLETE", "CACHED")} >= set(KILLED_IN)
    assert sorted(path.name for path in days.home.iterdir() if "partial" in path.name) == []


def test_a_second_call_beside_one_that_runs_goes_away(days, killed):
    running = days.start(SECOND)
    try:
        while not list(days.home.glob("history/*"))[len(KILLED_IN) + 1 :]:
            assert running.poll() is None, running.stdout.read()
            time.sleep(0.01)
        status, printed = days.call(SECOND)
        assert (status, printed) == (
            ALREADY_RUNNING,
            [f"another run works in {days.home}; wait for it to end"],
        )
    finally:
        printed, _ = running.communicate(timeout=300)
    assert running.returncode == 0, printed
    lines = printed.splitlines()
    assert lines[0] == f"generated-days, {SECOND} to {SECOND}"
    assert lines[2].startswith(str(SECOND))
    assert lines[2].endswith("version 2")
    assert lines[3] == f"table {days.home / 'days.csv'}, plot {days.home / 'days.svg'}"
    assert len(lines) == 4
    first, second = days.table()
    assert (first["version"], second["version"]) == ("1", "2")
    # Both were measured on the days of the second.
    summary = json.loads((days.home / "latest" / "summary.json").read_text())
    assert summary["start"]["version"] == 1
    assert summary["evaluation"]["baseline"] == "compared with version 1"
    assert float(second["rmse_before"]) == pytest.approx(float(first["rmse_after"]), abs=0.05)
    assert second["new_users"] == str(summary["start"]["entries"][features.UID.name]["new"])


def test_a_late_day_is_due_until_it_is_there(days, killed):
    folder = days.folder / "days" / spans.folder(THIRD)
    done = days.table()
    shutil.move(folder, days.folder / "late")
    status, printed = days.call(THIRD)
    assert status == 1
    assert len(printed) == 1
    assert printed[0].startswith(f"missing or late: {THIRD}; ")
    assert days.table() == done
    shutil.move(days.folder / "late", folder)
    (folder / "ratings.dat").write_bytes(b"1::1::9::978480000\n" * 500)
    status, printed = days.call(THIRD)
    assert status == 1
    assert [line.rstrip() for line in printed].count("failed RatingsExampleGen") == 1
    refused = days.table()[-1]
    assert refused["decision"] == "refused by RatingsExampleGen"
    assert "ratings.dat: 500 of " in refused["reason"]
    assert versions.versions(days.serving)[-1] == int(done[-1]["version"])
    # Not again, until the day is delivered anew.
    assert days.call(THIRD) == (0, [f"generated-days: no day up to {THIRD} is due"])


def test_a_day_before_those_that_are_done_is_refused(days, killed):
    early = FIRST - datetime.timedelta(days=1)
    status, printed = days.call(THIRD, first=early)
    assert status == 1
    assert len(printed) == 1
    assert printed[0].startswith(f"--from {early} is too early: {FIRST} is done, ")


def test_with_every_it_looks_again_until_it_is_told_to_end(tmp_path):
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    folder = tmp_path / "days" / spans.folder(yesterday)
    before = folder.with_name(spans.folder(yesterday - datetime.timedelta(days=1)))
    generate(tmp_path / "days", ratings=2_000, users=50, movies=60, seed=3)
    before.mkdir()
    (tmp_path / "days" / "ratings.dat").rename(before / "ratings.dat")
    late = tmp_path / "late"
    late.mkdir()
    (late / "ratings.dat").write_bytes(b"1::1::9::978480000\n" * 500)
    options = ("--every=0.001", "--window=1", "--evaluation-days=1")
    with start(tmp_path, f"--from={yesterday}", *options) as process:
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
    history = tmp_path / "runs" / "generated-days" / "history"
    runs = set(history.iterdir())
    with start(tmp_path, *options) as process:
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
