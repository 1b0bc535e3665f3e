"""What calls a command each night, read by the programs that read it."""

import configparser
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


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine")
def test_systemd_finds_no_fault_with_the_units(folder):
    for name, text in systemd([sys.executable, *ARGUMENTS], folder, "root", "nightly").items():
        (folder / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", folder / "nightly.timer", folder / "nightly.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shown = subprocess.run(
        ["systemd-analyze", "calendar", "*-*-* 03:00:00 UTC"], capture_output=True, text=True, check=True
    )
    assert "03:00:00 UTC" in shown.stdout


def test_what_is_printed_is_the_command_that_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = tmp_path / "days"
    (days / "span-2000-12-31").mkdir(parents=True)
    (days / "span-2000-12-31" / "ratings.dat").write_text("1::1::5::978220800\n")
    for name in ("movies.dat", "users.dat"):
        (days / name).write_text("")
    given = ["retrain", "--data=days", "--window=90", "--cold", "--beam-option=--direct_num_workers=2"]
    command = ["retrain", "--data", str(days), "--window", "90", "--cold", "--runs", str(tmp_path / "runs")]
    command += ["--beam-option", "--direct_num_workers=2"]
    result = CliRunner().invoke(cli.app, [*given, "--print=cron"])
    assert result.exit_code == 0, result.output
    words = shlex.split(result.output)
    assert words[words.index("retrain") : words.index(">>")] == command
    plain = shlex.split(CliRunner().invoke(cli.app, ["retrain", "--data=days", "--print=cron"]).output)
    assert plain[plain.index("retrain") : plain.index(">>")] == [*command[:3], *command[6:8]]
    units = CliRunner().invoke(cli.app, [*given, "--print=systemd"]).output
    assert "# /etc/systemd/system/deepfm-retrain-days.timer" in units
    assert " ".join(f'"{word}"' for word in command) in units
