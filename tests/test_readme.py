"""Every command of the README, as it stands there, in a folder with a small `ml-1m.zip`."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import batch_command, cli, kubeflow_commands, retrain_command, serving_commands, tune_command
from pipeline.dataset.generated import generate
from serving import release, versions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What `make` needs, beside the environment that runs these tests, and the data."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy2(ROOT / name, folder)
    for name in (".venv", ".tools", "pipeline", "components", "serving", "schema"):
        (folder / name).symlink_to(ROOT / name)
    generate(folder / "data", ratings=12_000, users=150, movies=1300, seed=3)
    with zipfile.ZipFile(folder / "ml-1m.zip", "w") as archive:
        for name in ("ratings.dat", "movies.dat", "users.dat"):
            archive.write(folder / "data" / name, f"ml-1m/{name}")
    shutil.rmtree(folder / "data")
    return folder


def bash(command, folder, timeout=500):
    done = subprocess.run(
        ["bash", "-c", command],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_commands_do_what_the_readme_says(checkout):
    assert SHELL == [
        "make run DATA=ml-1m.zip",
        "make test",
        ". .venv/bin/activate",
        "deepfm serve &",
        "deepfm predict --uid 1 --mid 1193 --mid 661",
        "deepfm rank --uid 1 --top 10",
        "deepfm status",
        "deepfm models",
        'deepfm canary 2 --percent 5 --reason "new features"',
        'deepfm promote 2 --reason "better for a week"',
        'deepfm rollback --reason "complaints"',
        "deepfm prune --keep 5 --offline",
        "deepfm plot-model deepfm.png",
        "deepfm plot-model deep.svg --architecture deep --preset notebook",
        "deepfm generate-data small --ratings 20000 --users 300 --movies 200",
        "deepfm split-spans small small-days",
        "deepfm retrain --data small-days --window 365 --print cron",
        "deepfm batch --top 10 --output recommendations",
    ]
    printed = bash(SHELL[0], checkout)
    summary = json.loads((checkout / "runs" / "ml-1m" / "latest" / "summary.json").read_text())
    assert (summary["state"], summary["rows_accepted"], summary["pushed_version"]) == ("succeeded", 12_000, 1)
    assert "ml-1m (real data)" in printed

    assert "pytest" in bash("make -n test", checkout)
    bash(SHELL[2], checkout)
    with subprocess.Popen(
        [BIN / "deepfm", "serve"], cwd=checkout, stdout=subprocess.PIPE, text=True, env=os.environ
    ) as server:
        try:
            assert server.stdout.readline().startswith("the local stand-in for TensorFlow Serving")
            assert "serving deepfm version 1 at 127.0.0.1:8500" in server.stdout.readline()
            rows = bash(SHELL[4], checkout).splitlines()
            assert [row.split()[0] for row in rows] == ["mid", "1193", "661", "answered"]
            rows = bash(SHELL[5], checkout).splitlines()
            assert len(rows) == 12
            assert len({row.split()[0] for row in rows[1:-1]}) == 10
            assert all(1 <= float(row.split()[-1]) <= 5 for row in rows[1:-1])
            (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
            check = "assert len(ratings) == 2 and len(movies) == 10 and movies[0].title"
            subprocess.run([sys.executable, "-c", f"{example}\n{check}"], cwd=checkout, check=True)
        finally:
            server.terminate()
    assert re.search(r"ml-1m +succeeded +\d\.\d{4} +yes +1 ", bash(SHELL[6], checkout))
    serving = Path(summary["serving_dir"])
    assert versions.publish(serving / "1", serving, fingerprint="another") == 2
    rows = bash(SHELL[7], checkout).splitlines()
    times = r"\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d"
    rmse = f"{summary['metrics']['test']['overall']['rmse']:.4f}"
    assert re.match(rf" *1 +stable +- +ml-1m +{times} +{rmse} +yes ", rows[1])
    assert re.match(rf" *2 +- +ml-1m +{times} ", rows[2])
    assert "version 2 is the canary of 5% of the users" in bash(SHELL[8], checkout)
    assert "version 2 is stable, before it 1" in bash(SHELL[9], checkout)
    assert "version 1 is stable again" in bash(SHELL[10], checkout)
    assert "nothing to remove" in bash(SHELL[11], checkout)
    assert [r.reason for r in release.releases(serving)] == [
        "pushed",
        "new features",
        "better for a week",
        "complaints",
    ]
    bash(SHELL[12], checkout)
    assert (checkout / "deepfm.png").read_bytes().startswith(b"\x89PNG")
    bash(SHELL[13], checkout)
    assert "<svg" in (checkout / "deep.svg").read_text()
    assert "20,000 ratings in small" in bash(SHELL[14], checkout)
    assert "20,000 ratings in small-days: " in bash(SHELL[15], checkout)
    printed = bash(SHELL[16], checkout)
    assert re.search(
        rf"/deepfm retrain --data {checkout}/small-days --from \S+ --window 365 --runs ", printed
    )
    assert "150 rows read, 0 rejected" in bash(SHELL[17], checkout)
    assert len(pq.read_table(checkout / "recommendations")) == 1500


def test_make_run_passes_every_option_on():
    make = [
        "make",
        "--no-print-directory",
        "-n",
        "-o",
        ".venv/.ready",
        "run",
        "DATA=a b",
        "PRESET=notebook",
        "SEED=3",
        "SPLIT=time",
        "DATE=2000-12-31",
        "WINDOW=365",
        "EVALUATION_DAYS=7",
        "ALLOW_MISSING=1",
        "ACCEPT_DATA=1",
        "RUNS=r",
    ]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (
        re.sub(r"\s+\\?\s*", " ", printed)
        .strip()
        .endswith(
            '.venv/bin/deepfm run --data "a b" --preset "notebook" --seed "3" --split "time" '
            '--date "2000-12-31" --window "365" --evaluation-days "7" --allow-missing --accept-data '
            '--runs "r"'
        )
    )


def test_the_tables_name_what_there_is():
    commands = {
        info.name or info.callback.__name__
        for app in (
            cli.app,
            kubeflow_commands.app,
            serving_commands.app,
            batch_command.app,
            retrain_command.app,
            tune_command.app,
        )
        for info in app.registered_commands
    }
    assert set(re.findall(r"^\| `deepfm ([a-z-]+)`", README, re.MULTILINE)) == commands
    for folder in re.findall(r"^\| `(\w+)/`", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder
