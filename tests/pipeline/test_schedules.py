"""What calls a command each night, read by the programs that read it."""

import configparser
import datetime
import json
import shlex
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.schedules import cron, systemd

# A program that writes down how it was called.
RECORD = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd()]))"
ARGUMENTS = ["--data", "a b", '50% "off"', "$HOME", "back\\slash"]


@pytest.fixture
def folder(tmp_path):
    """A folder whose name needs care in a shell."""
    folder = tmp_path / "ratings & 100%"
    folder.mkdir()
    return folder


def test_the_line_for_cron_is_the_command_in_its_folder(folder):
    line = cron([sys.executable, "-c", RECORD, *ARGUMENTS], folder, folder / "runs" / "night.log")
    assert line.startswith("0 3 * * * mkdir -p ")
    assert line.count("\n") == 1
    # crontab(5): an unescaped % ends the command; the rest goes to a shell.
    command = line.removeprefix("0 3 * * * ").rstrip("\n").replace("\\%", "\0")
    assert "%" not in command
    subprocess.run(["/bin/sh", "-c", command.replace("\0", "%")], check=True)
    assert json.loads((folder / "runs" / "night.log").read_text()) == [ARGUMENTS, str(folder)]


def test_the_units_for_systemd_name_the_command_and_the_hour(folder):
    units = systemd(["/opt/bin/deepfm", "retrain", *ARGUMENTS], folder, "recommender", "nightly")
    assert list(units) == ["nightly.service", "nightly.timer"]
    service, timer = (configparser.ConfigParser(interpolation=None) for _ in units)
    for parser, text in zip((service, timer), units.values(), strict=True):
        parser.optionxform = str
        parser.read_string(text)
    assert (service["Service"]["Type"], service["Service"]["User"]) == ("oneshot", "recommender")
    assert service["Service"]["WorkingDirectory"] == str(folder).replace("%", "%%")
    assert (
        service["Service"]["ExecStart"]
        == r'"/opt/bin/deepfm" "retrain" "--data" "a b" "50%% \"off\"" "$$HOME" "back\\slash"'
    )
    assert timer["Timer"] == {"OnCalendar": "*-*-* 03:00:00 UTC", "Persistent": "true"}
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_a_name_with_a_space_is_escaped_as_systemd_reads_it(folder):
    service, timer = systemd(["/opt/bin/deepfm"], folder, "recommender", "nightly-ä b@2.0\\%")
    # What `systemd-escape` gives, which would escape the hyphen too.
    assert service == r"nightly-\xc3\xa4\x20b\x402.0\x5c\x25.service"
    assert timer == service.replace(".service", ".timer")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
def test_systemd_finds_no_fault_with_the_units(folder):
    units = systemd([sys.executable, *ARGUMENTS], folder, "root", "nightly a b")
    for name, text in units.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(folder / name for name in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shown = subprocess.run(
        ["systemd-analyze", "calendar", "*-*-* 03:00:00 UTC"], capture_output=True, text=True, check=True
    )
    assert "03:00:00 UTC" in shown.stdout


@pytest.fixture
def days(tmp_path, monkeypatch):
    """A folder of days, beside which commands run."""
    monkeypatch.chdir(tmp_path)
    days = tmp_path / "days"
    (days / "span-2000-12-31").mkdir(parents=True)
    (days / "span-2000-12-31" / "ratings.dat").write_text("1::1::5::978220800\n")
    for name in ("movies.dat", "users.dat"):
        (days / name).write_text("")
    return days


def printed(*options):
    """Return the words of the command that would be called."""
    result = CliRunner().invoke(cli.app, ["retrain", "--data=days", "--print=cron", *options])
    assert result.exit_code == 0, result.output
    words = shlex.split(result.output)
    return words[words.index("retrain") : words.index(">>")]


def test_what_is_printed_is_the_command_that_was_given(days, tmp_path):
    given = ["--from=2000-12-30", "--window=90", "--cold", "--beam-option=--direct_num_workers=2"]
    command = ["retrain", "--data", str(days), "--from", "2000-12-30", "--window", "90", "--cold"]
    command += ["--runs", str(tmp_path / "runs"), "--beam-option", "--direct_num_workers=2"]
    assert printed(*given) == command
    units = CliRunner().invoke(cli.app, ["retrain", "--data=days", *given, "--print=systemd"]).output
    assert "# /etc/systemd/system/deepfm-retrain-days.timer" in units
    assert " ".join(f'"{word}"' for word in command) in units


def test_where_no_day_is_done_what_is_printed_begins_with_the_last(days, tmp_path):
    plain = ["retrain", "--data", str(days), "--runs", str(tmp_path / "runs")]
    before = _yesterday()
    assert printed() in [[*plain[:3], "--from", str(day), *plain[3:]] for day in (before, _yesterday())]
    run = tmp_path / "runs" / "days" / "history" / "0000"
    run.mkdir(parents=True)
    summary = {
        "state": "failed",
        "blessed": False,
        "pushed_version": None,
        "seconds": 1.0,
        "seconds_by_node": {},
        "serving_dir": "",
        "spans": {"run_date": "2000-12-31"},
        "input_fingerprint": "f",
    }
    (run / "summary.json").write_text(json.dumps(summary))
    assert "--from" in printed()
    (run / "summary.json").write_text(json.dumps(summary | {"data_refused": True}))
    assert printed() == plain


def _yesterday():
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
