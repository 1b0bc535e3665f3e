"""`deepfm schedule`, `submit` and `backfill` against a process that serves Kubeflow Pipelines' API."""

import itertools
import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import kfp_server_api
import pytest
from typer.testing import CliRunner

from components.ratings_example_gen.config import RunDays
from pipeline import cli, kubeflow, kubeflow_commands

README = Path(kubeflow.__file__).with_name("README.md")
SERVICE = Path(__file__).with_name("service.py")
NAME = "deepfm-small"
COMPILE = (
    *("compile", "--image", "deepfm:1", "--dataset", "small", "--data", "/mnt/days", "--root", "/mnt/runs"),
    "--volume=deepfm:/mnt",
)


class Api:
    """The process, and what it has."""

    def __init__(self, port):
        self.address = f"http://127.0.0.1:{port}"

    def _ask(self, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"{self.address}{path}", data, timeout=10) as answer:
            return json.load(answer)

    def has(self):
        return self._ask("/testing")

    def tell(self, **content):
        self._ask("/testing", content)


@pytest.fixture(scope="module")
def process():
    """Serve the API in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVICE, str(port)])
    found = Api(port)
    try:
        for _ in range(400):
            try:
                found.has()
                break
            except OSError:
                time.sleep(0.05)
        yield found
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def api(process):
    """The process, that has nothing yet."""
    process.tell(reset=True)
    return process


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Packages of a folder of days, the same with another seed, and one of a flat dataset."""
    folder = tmp_path_factory.mktemp("packages")
    for name, options in (("days", ["--spans"]), ("other", ["--spans", "--seed=1"]), ("flat", [])):
        made = CliRunner().invoke(cli.app, [COMPILE[0], str(folder / f"{name}.yaml"), *COMPILE[1:], *options])
        assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def deepfm(api, packages, monkeypatch):
    """Run a command on the service, where a package is a name; return its status and what it printed."""
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", api.address)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(kubeflow_commands, "_POLL_SECONDS", 0.01)
    monkeypatch.chdir(packages)

    def run(line):
        done = CliRunner().invoke(cli.app, line.split())
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run


MADE = {
    "max_concurrency": "1",
    "no_catchup": True,
    "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
    "runtime_config": {"parameters": {"run_date": "[[ScheduledTime.2006-01-02]]", "lag_days": 1}},
}
NIGHTLY = ("schedule", "days.yaml", "--cron", "0 3 * * *", "--window", "30")


@pytest.fixture
def schedule(deepfm):
    def run(*options, package="days.yaml", cron="0 3 * * *"):
        done = CliRunner().invoke(cli.app, ["schedule", package, "--cron", cron, *options])
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_a_schedule_is_made_once(api, schedule):
    assert f"schedule {NAME}: 0 0 3 * * * UTC, version sha256-" in schedule("--window=30")
    has = api.has()
    assert has["requests"] == [
        "POST /apis/v2beta1/pipelines",
        "POST /apis/v2beta1/pipelines/upload_version",
        "POST /apis/v2beta1/experiments",
        "POST /apis/v2beta1/recurringruns",
    ]
    (made,), (version,) = has["recurring_runs"], has["versions"]
    assert made["display_name"] == NAME
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("1", True, "ENABLE")
    assert made["runtime_config"] == {
        "parameters": {"run_date": "[[ScheduledTime.2006-01-02]]", "lag_days": 1, "window_days": 30}
    }
    assert made["pipeline_version_reference"] == {
        "pipeline_id": has["pipelines"][0]["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert (has["pipelines"][0]["display_name"], has["experiments"][0]["display_name"]) == (NAME, NAME)

    assert schedule("--window=30").strip().endswith("as it was")
    assert api.has() == has


@pytest.mark.parametrize(
    "changed",
    [
        {"cron": "30 4 * * mon-fri"},
        {"package": "other.yaml"},
        {"options": ["--window=30"]},
        {"options": ["--lag=2"]},
        {"options": ["--catch-up"]},
        {"options": ["--service-account=trainer"]},
    ],
)
def test_a_schedule_that_differs_is_replaced(api, schedule, changed):
    schedule()
    (before,) = api.has()["recurring_runs"]
    options = changed.pop("options", [])
    schedule(*options, **changed)
    has = api.has()
    (after,) = has["recurring_runs"]
    assert after["recurring_run_id"] != before["recurring_run_id"]
    assert has["requests"][-4:] == [
        "POST /apis/v2beta1/recurringruns",
        "POST /apis/v2beta1/recurringruns/ID:disable",
        "POST /apis/v2beta1/recurringruns/ID:enable",
        "DELETE /apis/v2beta1/recurringruns/ID",
    ]
    assert after["mode"] == "ENABLE"
    assert len(has["versions"]) == 1 + (changed.get("package") is not None)
    schedule(*options, **changed)
    assert api.has()["recurring_runs"] == [after]
    # The version of before is there still.
    schedule()
    assert api.has()["versions"] == has["versions"]


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_call_that_was_cut_off_is_made_up_for(api, schedule, deepfm, monkeypatch, done):
    """What the process did before a SIGKILL is all that the next one finds: kill it after each request."""
    code = (
        "import os, signal, sys, kfp_server_api\n"
        "from pipeline import cli\n"
        "request, count = kfp_server_api.ApiClient.request, 0\n"
        "def counted(self, method, *arguments, **options):\n"
        "    global count\n"
        "    answer = request(self, method, *arguments, **options)\n"
        "    count += method != 'GET'\n"
        f"    if count == {done}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return answer\n"
        "kfp_server_api.ApiClient.request = counted\n"
        "cli.app(sys.argv[1:])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, *NIGHTLY], check=False)
    assert killed.returncode == -9
    assert len(api.has()["requests"]) == done
    schedule("--window=30")
    has = api.has()
    assert [len(has[kind]) for kind in ("pipelines", "versions", "experiments", "recurring_runs")] == [1] * 4
    assert len(has["requests"]) == 4


@pytest.mark.parametrize(
    "edited",
    [
        {"max_concurrency": "3"},
        {"no_catchup": False},
        {"experiment_id": "another"},
        {"pipeline_version_reference": {"pipeline_id": "another", "pipeline_version_id": "another"}},
        {"runtime_config": {"parameters": {"run_date": "[[ScheduledTime.2006-01-02]]", "lag_days": 7}}},
        {"runtime_config": {**MADE["runtime_config"], "pipeline_root": "s3://another"}},
        {"trigger": {"cron_schedule": {"cron": "0 0 4 * * *"}}},
        {"trigger": {"periodic_schedule": {"interval_second": "60"}}},
        {"trigger": {"cron_schedule": {"cron": "0 0 3 * * *", "start_time": "2002-01-01T00:00:00Z"}}},
        {"trigger": {"cron_schedule": {"cron": "0 0 3 * * *", "end_time": "2002-01-01T00:00:00Z"}}},
    ],
)
def test_a_schedule_that_was_edited_by_hand_is_put_right(api, schedule, edited):
    def kept():
        (found,) = api.has()["recurring_runs"]
        return {name: found[name] for name in (*MADE, "pipeline_version_reference", "experiment_id", "mode")}

    schedule()
    made = kept()
    assert MADE.items() <= made.items()
    api.tell(edit=edited)
    assert kept() == made | edited
    assert not schedule().strip().endswith("as it was")
    assert kept() == made
    assert schedule().strip().endswith("as it was")


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of the project catches it, and nothing cleans up."""


@pytest.fixture
def replace(schedule, monkeypatch):
    """Ask for another schedule, cut off before a change if told so, from 0; return whether it was done."""
    request = kfp_server_api.ApiClient.request

    def run(cut_off=None):
        count = itertools.count()

        def counted(self, method, *arguments, **options):
            if method != "GET" and next(count) == cut_off:
                raise Killed
            return request(self, method, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(kfp_server_api.ApiClient, "request", counted)
            try:
                schedule(cron="30 4 * * *")
            except Killed:
                return False
        return True

    return run


def settings(api):
    """What there is, as time and mode, where no two may be on."""
    found = [(one["trigger"]["cron_schedule"]["cron"], one["mode"]) for one in api.has()["recurring_runs"]]
    assert [mode for _, mode in found].count("ENABLE") <= 1
    assert found
    return found


OLD, NEW = "0 0 3 * * *", "0 30 4 * * *"
ON, PAUSED = "ENABLE", "DISABLE"
CUT_OFF = {  # what a call leaves that is cut off before its first, second, … change
    ON: [[(OLD, ON)], [(OLD, ON), (NEW, PAUSED)], [(OLD, PAUSED), (NEW, PAUSED)], [(OLD, PAUSED), (NEW, ON)]],
    PAUSED: [[(OLD, PAUSED)], [(OLD, PAUSED), (NEW, PAUSED)]],
}


@pytest.mark.parametrize(
    ("mode", "cut_off"), [(m, n) for m, left in CUT_OFF.items() for n in range(len(left))]
)
def test_a_replacement_that_was_cut_off_is_finished(api, schedule, deepfm, replace, mode, cut_off):
    """By the next call, which may be cut off as well, or once another was asked for in between."""

    def leave():
        api.tell(reset=True)
        schedule()
        if mode == PAUSED:
            deepfm("schedule days.yaml --pause")
        assert not replace(cut_off)
        assert settings(api) == CUT_OFF[mode][cut_off]

    for again in range(6):
        leave()
        done = replace(again)
        settings(api)
        replace()
        assert settings(api) == [(NEW, mode)]
        if done:
            break
    assert done
    leave()
    schedule(cron="0 9 * * *")
    assert settings(api) == [("0 0 9 * * *", mode)]
    for option, told in (("--pause", PAUSED), ("--resume", ON)):
        leave()
        assert deepfm(f"schedule days.yaml {option}")[0] == 0
        assert [found for _, found in settings(api)] == [told]
        replace()
        assert settings(api) == [(NEW, told)]


def test_several_of_one_name_become_one(api, schedule):
    schedule()
    (made,) = api.has()["recurring_runs"]
    wanted = {
        key: value for key, value in made.items() if key not in ("recurring_run_id", "created_at", "status")
    }
    for _ in range(120):  # more than a page
        api._ask("/apis/v2beta1/recurringruns", wanted)
    assert len(api.has()["recurring_runs"]) == 121
    assert "as it was" in schedule()
    assert api.has()["recurring_runs"] == [made]


@pytest.mark.parametrize("change", ["package=other.yaml", "cron=30 4 * * *", "--delete"])
def test_a_run_under_way_outlives_its_schedule(api, schedule, deepfm, change):
    schedule()
    api.tell(due={NAME: "2001-01-01T03:00:00+00:00"}, state="RUNNING")
    before = api.has()
    assert before["runs"][0]["recurring_run_id"] == before["recurring_runs"][0]["recurring_run_id"]
    if change == "--delete":
        assert deepfm("schedule days.yaml --delete")[0] == 0
    else:
        schedule(**dict([change.split("=")]))
    has = api.has()
    assert before["recurring_runs"][0] not in has["recurring_runs"]
    assert has["runs"] == before["runs"]
    assert [run["state"] for run in has["runs"]] == ["RUNNING"]


@pytest.fixture
def interleaved(deepfm, monkeypatch):
    """Schedule nightly, with other calls before some of its changes, by number; return status and print."""
    request = kfp_server_api.ApiClient.request

    def run(others):
        left = dict(others)
        count = itertools.count()

        def counted(self, method, url, *arguments, **options):
            if method != "GET" and "recurringruns" in url and (other := left.pop(next(count), None)):
                with monkeypatch.context() as patch:
                    patch.setattr(kfp_server_api.ApiClient, "request", request)
                    other()
            return request(self, method, url, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(kfp_server_api.ApiClient, "request", counted)
            done = CliRunner().invoke(cli.app, NIGHTLY)
        assert not left
        return done.exit_code, done.output

    return run


def test_two_first_calls_at_once_leave_one(api, schedule, interleaved):
    """Neither sees the other's; the one that ends last, or both at once, delete the younger one."""

    def other():
        schedule("--window=30")

    for others in ({0: other}, {0: other, 1: other}):
        api.tell(reset=True)
        status, printed = interleaved(others)
        assert (status, printed.split(", ")[0]) == (0, f"schedule {NAME}: {OLD} UTC")
        assert settings(api) == [(OLD, ON)]
        assert [line.split("/")[-1] for line in api.has()["requests"] if "recurringruns" in line] == [
            *["recurringruns"] * 2,
            *["ID"] * len(others),
        ]


def test_a_first_call_that_another_one_came_before_is_told(api, schedule, interleaved):
    status, printed = interleaved({0: lambda: schedule(cron="30 4 * * *")})
    assert (status, printed) == (1, f"another call changed the schedule {NAME} meanwhile: call again\n")
    assert settings(api) == [(NEW, ON)]
    schedule()
    assert settings(api) == [(OLD, ON)]


def test_schedules_are_listed_paused_resumed_and_deleted(api, schedule, deepfm):
    schedule("--window=30")
    schedule("--name=weekly", "--catch-up", cron="0 5 * * sun")
    rows = [line.split() for line in deepfm("schedule --list")[1].splitlines()]
    assert [row[:2] for row in rows[1:]] == [[NAME, "0"], ["weekly", "0"]]
    assert rows[1][7:10] == ["on", "left", "out"]
    assert rows[2][7:10] == ["on", "caught", "up"]
    assert "window_days=30" in rows[1]

    modes = lambda: {one["display_name"]: one["mode"] for one in api.has()["recurring_runs"]}  # noqa: E731
    for _ in range(2):
        assert deepfm("schedule days.yaml --pause") == (0, f"schedule {NAME} paused\n")
        assert modes() == {NAME: "DISABLE", "weekly": "ENABLE"}
    # A new version does not wake it.
    assert "paused as before: --resume" in schedule(package="other.yaml")
    assert modes() == {NAME: "DISABLE", "weekly": "ENABLE"}
    assert "paused" in deepfm("schedule --list")[1]
    assert deepfm(f"schedule --resume --name {NAME}") == (0, f"schedule {NAME} resumed\n")
    assert modes() == {NAME: "ENABLE", "weekly": "ENABLE"}
    assert deepfm("schedule --delete --name weekly") == (0, "schedule weekly deleted\n")
    assert deepfm("schedule --delete --name weekly") == (0, "no schedule is named weekly\n")
    assert modes() == {NAME: "ENABLE"}
    assert deepfm("schedule --pause --name weekly")[0] == 1


def test_a_due_run_gets_the_day_before(api, schedule):
    schedule("--window=30")
    api.tell(due={NAME: "2001-01-01T03:00:00+00:00"})
    (run,) = api.has()["runs"]
    parameters = run["runtime_config"]["parameters"]
    assert parameters["run_date"] == "2001-01-01"
    assert str(RunDays(**parameters).last_day) == "2000-12-31"


def test_a_run_is_submitted_once(api, deepfm):
    status, printed = deepfm("submit days.yaml --date 2000-12-31 --window 30")
    (run,) = api.has()["runs"]
    assert run["display_name"] == f"{NAME} 2000-12-31"
    assert run["runtime_config"]["parameters"] == {
        "run_date": "2000-12-31",
        "lag_days": 0,
        "window_days": 30,
    }
    link = f"{api.address}/#/runs/details/{run['run_id']}"
    assert (status, printed) == (0, f"{NAME} 2000-12-31 submitted: {link}\n")
    assert deepfm("submit days.yaml --date 2000-12-31 --window 30") == (
        0,
        f"{NAME} 2000-12-31 is there, pending: {link}\n",
    )
    assert len(api.has()["runs"]) == 1
    assert deepfm("submit days.yaml --date 2000-12-31 --again")[0] == 0
    assert len(api.has()["runs"]) == 2


def test_data_that_stopped_a_run_is_accepted_for_one_run(api, deepfm):
    deepfm("submit days.yaml --date 2000-12-31")
    api.tell(ends={"2000-12-31": "FAILED"})
    (stopped,) = api.has()["runs"]
    while api._ask(f"/apis/v2beta1/runs/{stopped['run_id']}")["state"] != "FAILED":
        pass
    assert "submitted" in deepfm("submit days.yaml --date 2000-12-31 --accept-data")[1]
    api.tell(ends={"2000-12-31": "SUCCEEDED"})
    # The backfill that had ended there waits for it.
    status, printed = deepfm("backfill days.yaml 2000-12-31 2001-01-01")
    assert (status, [line.split(":")[0] for line in printed.splitlines()]) == (
        0,
        ["2000-12-31 runs", "2000-12-31 is done", "2001-01-01 runs", "2001-01-01 is done"],
    )
    assert [run["runtime_config"]["parameters"] for run in api.has()["runs"]] == [
        {"run_date": "2000-12-31", "lag_days": 0},
        {"run_date": "2000-12-31", "lag_days": 0, "accept_data": True},
        {"run_date": "2001-01-01", "lag_days": 0},
    ]
    assert deepfm("submit flat.yaml --accept-data")[0] == 0
    assert api.has()["runs"][-1]["runtime_config"]["parameters"] == {"accept_data": True}


def test_a_run_of_a_flat_dataset_has_no_date(api, deepfm):
    for words in ("submitted", "is there, pending"):
        status, printed = deepfm("submit flat.yaml")
        assert status == 0
        assert words in printed
    (run,) = api.has()["runs"]
    assert run["runtime_config"].get("parameters", {}) == {}


def test_days_are_filled_in_order_and_once(api, schedule, deepfm):
    schedule()
    # One day has a run of the schedule's, of a back end that shows what it was told.
    api.tell(due={NAME: "2000-12-30T03:00:00+00:00"}, expand=False)
    status, printed = deepfm("backfill days.yaml 2000-12-28 2000-12-31")
    assert status == 1
    assert f"pause it first, `deepfm schedule --pause --name {NAME}`" in printed
    deepfm("schedule days.yaml --pause")

    api.tell(ends={"2000-12-30": "FAILED"})
    status, printed = deepfm("backfill days.yaml 2000-12-28 2000-12-31 --window 30")
    assert status == 1
    assert [line.split(":")[0] for line in printed.splitlines()] == [
        "2000-12-28 runs",
        "2000-12-28 is done",
        "2000-12-29 is done",
        "2000-12-30 runs",
        "2000-12-30 failed",
    ]
    assert "the days after it were not submitted" in printed
    api.tell(ends={"2000-12-30": "SUCCEEDED"})
    for again in (["2000-12-30 runs", "2000-12-30 is done", "2000-12-31 runs"], ["2000-12-30 is done"]):
        status, printed = deepfm("backfill days.yaml 2000-12-28 2000-12-31 --window 30")
        assert status == 0
        assert [line.split(":")[0] for line in printed.splitlines()] == [
            "2000-12-28 is done",
            "2000-12-29 is done",
            *again,
            "2000-12-31 is done",
        ]
    runs = [r for r in api.has()["runs"] if "recurring_run_id" not in r]
    assert [(r["display_name"], r["runtime_config"]["parameters"]["window_days"]) for r in runs] == [
        (f"{NAME} {day}", 30) for day in ("2000-12-28", "2000-12-30", "2000-12-30", "2000-12-31")
    ]


def test_a_day_that_is_running_is_waited_for_and_another_one_stops(api, deepfm):
    deepfm("submit days.yaml --date 2000-12-30")
    status, printed = deepfm("backfill days.yaml 2000-12-29 2000-12-30")
    assert status == 1
    assert f"{NAME} 2000-12-30 has yet to end: {api.address}" in printed
    assert deepfm("backfill days.yaml 2000-12-30 2000-12-31")[0] == 0
    assert [run["display_name"] for run in api.has()["runs"]] == [f"{NAME} 2000-12-30", f"{NAME} 2000-12-31"]


def test_a_dry_run_prints_and_sends_nothing(api, deepfm, schedule):
    printed = json.loads(schedule("--window=30", "--dry-run"))
    version = printed.pop("version")
    assert printed == {
        "pipeline": NAME,
        "recurring_run": {
            "name": NAME,
            "cron": "0 0 3 * * *",
            "catch_up": False,
            "parameters": {"run_date": "[[ScheduledTime.2006-01-02]]", "lag_days": 1, "window_days": 30},
            "service_account": None,
            "max_concurrency": 1,
        },
    }
    days = [
        {"name": f"{NAME} {day}", "parameters": {"run_date": day, "lag_days": 0}}
        for day in ("2000-12-30", "2000-12-31")
    ]
    for line, runs in (
        ("submit days.yaml --date 2000-12-30 --dry-run", days[:1]),
        ("backfill days.yaml 2000-12-30 2000-12-31 --dry-run", days),
    ):
        assert json.loads(deepfm(line)[1]) == {"pipeline": NAME, "version": version, "runs": runs}
    assert json.loads(deepfm("schedule days.yaml --delete --dry-run")[1]) == {"delete": NAME}
    assert api.has()["requests"] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schedule days.yaml", "give one of --list, --pause, --resume, --delete, --cron, got none"),
        ("schedule days.yaml --list --pause", "got --list and --pause"),
        ("schedule --pause", "--pause needs the package, or the --name of the schedule"),
        ("schedule days.yaml --cron daily", "`cron` must have five fields, minute, hour,"),
        ("schedule flat.yaml --pause", "flat.yaml is for a flat dataset, which has no days"),
        ("schedule missing.yaml --pause", "missing.yaml"),
        ("submit days.yaml", "days.yaml is for a folder of days: give --date"),
        ("submit flat.yaml --date 2000-12-31", "flat.yaml is for a flat dataset, which has no days"),
        ("submit days.yaml --date today", "`run_date` must be a date like 2000-12-31, got 'today'"),
        ("backfill days.yaml 2000-12-31 2000-12-30", "FROM must not be after TO"),
        (
            "submit days.yaml --date 2000-12-31 --host http://127.0.0.1:1",
            "cannot be reached at http://127.0.0.1:1",
        ),
        ("submit days.yaml --date 2000-12-31 --service-account 1 --window 9999999", "beyond the calendar"),
    ],
)
def test_a_slip_is_one_sentence(api, deepfm, line, said):
    status, printed = deepfm(line)
    assert status == 1
    assert said in printed
    assert len(printed.splitlines()) == 1
    assert api.has()["requests"] == []


def test_what_the_service_refuses_is_told(api, deepfm, packages, tmp_path):
    text = (packages / "days.yaml").read_text()
    # A required parameter that no command knows of.
    changed = text.replace(
        "parameters:\n      accept_data:",
        "parameters:\n      unknown: {parameterType: STRING}\n      accept_data:",
        1,
    )
    assert changed != text
    (tmp_path / "changed.yaml").write_text(changed)
    status, printed = deepfm(f"submit {tmp_path / 'changed.yaml'} --date 2000-12-31")
    assert status == 1
    assert printed == (
        "Kubeflow Pipelines refused: 400 Bad Request: parameter unknown is not optional, yet has neither "
        "default value nor user provided value\n"
    )


def test_what_is_no_package_is_refused(deepfm, packages):
    for content in ("", "[]", "a: 1", "{", "\0"):
        (packages / "none.yaml").write_text(content)
        status, printed = deepfm("submit none.yaml")
        assert (status, printed) == (
            1, "none.yaml is no package of a pipeline: write one with `deepfm compile`\n",
        )  # fmt: skip


def test_the_same_configuration_is_the_same_version(packages, tmp_path):
    """Compiled by another process: a version that differs without reason would be uploaded each night."""
    path = tmp_path / "again.yaml"
    code = "import sys; from pipeline import cli; cli.app(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, COMPILE[0], path, *COMPILE[1:], "--spans"], check=True)
    assert path.read_bytes() == (packages / "days.yaml").read_bytes()


def test_the_readme_s_commands_are_those_that_there_are(api, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    lines = [shlex.split(line.partition(" | ")[0]) for line in block.splitlines()]
    commands = [words[1:] for words in lines if words[0] == "deepfm"]
    assert [words[0] for words in commands] == ["manifests", "compile", "backfill", "schedule"]
    for words in commands:
        dry = ["--dry-run"] if words[0] in ("backfill", "schedule") else []
        done = CliRunner().invoke(cli.app, [*words, *dry])
        assert done.exit_code == 0, done.output
    assert api.has()["requests"] == []
