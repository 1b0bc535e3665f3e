"""The graph end to end, in real processes, on a copy of the project that may be edited."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import PRESETS
from pipeline.dataset.generated import generate
from pipeline.dataset.layout import read_marker
from schema import features
from serving import catalogue, release, versions
from serving.saved_model import SessionModel

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "components", "serving", "schema")
NODES = (
    "RatingsExampleGen",
    "StatisticsGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "DataGate",
    "Transform",
    "Trainer",
    "ServedModel",
    "Evaluator",
    "ServingValidator",
    "Pusher",
    "ModelReport",
)
RATINGS = 12_000
PRESET = "fast"  # sampled, as the default one is, but sooner
RUN = ("run", "--data=small", f"--preset={PRESET}")
MOMENT = 1_000_000_000  # 2001-09-09 01:46:40 UTC


@pytest.fixture(scope="module")
def project(new_project, tmp_path_factory):
    """A copy of the project, and small data."""
    folder = tmp_path_factory.mktemp("project")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    # The thresholds are for a million ratings: here chance, and the machine's arithmetic, would decide.
    thresholds = folder / "components" / "evaluator" / "config.py"
    lenient, edits = re.subn(r"(max_\w*rmse\w*: float) = [\d.]+", r"\1 = 9.0", thresholds.read_text())
    assert edits == 4
    thresholds.write_text(lenient)
    return new_project(
        folder, generate(folder / "small", ratings=RATINGS, users=150, movies=120, seed=3).name
    )


def run(project, *options):
    """Run the pipeline; return its summary and what it printed."""
    status, printed = project.deepfm(*RUN, *options)
    assert status == 0, printed
    return project.summary(), printed


@pytest.fixture(scope="module")
def first(project):
    return run(project)


def test_a_model_trained_by_gradient_goes_all_the_way(project, tmp_path):
    status, printed = project.deepfm("run", "--data=small", "--preset=gradient", f"--runs={tmp_path}")
    assert status == 0, printed
    summary = json.loads((tmp_path / project.home.name / "latest" / "summary.json").read_text())
    assert (summary["state"], summary["pushed_version"]) == ("succeeded", 1)
    floor = summary["dataset"]["noise_floor_rmse"]
    assert floor - 0.05 < summary["metrics"]["test"]["overall"]["rmse"] < 0.95
    assert summary["serving_validation"]["largest_difference"] < 1e-5
    kept, epochs = summary["kept_epoch"], summary["epochs"]
    assert f"Epoch {kept} of {epochs} was kept" in Path(summary["report"]).read_text()
    version = Path(summary["serving_dir"], "1")
    known = catalogue.Catalogue.load(version / catalogue.FOLDER)
    with SessionModel(version) as session:
        ranked = session.run("rank", known.rank_inputs(known.uids[0], known.mids, MOMENT))
    assert sorted(ranked[features.MID.name]) == known.mids.tolist()
    assert ranked[features.SCORE.name].tolist() == ranked[features.RATING.name].tolist()


def test_the_first_run_pushes_a_blessed_model_and_tells_all_of_it(project, first):
    summary, _ = first
    floor = read_marker(project.folder / "small").noise_floor_rmse
    assert summary["state"] == "succeeded"
    assert set(summary["seconds_by_node"]) == set(NODES)
    assert summary["cached_nodes"] == []
    assert summary["dataset"] == {
        "name": project.home.name,
        "generated": True,
        "origin": str(project.folder / "small"),
        "noise_floor_rmse": floor,
    }
    assert (summary["rows_read"], summary["rows_accepted"], summary["rows_rejected"]) == (
        RATINGS,
        RATINGS,
        {},
    )
    assert sum(summary["rows_by_split"].values()) == RATINGS
    overall = summary["metrics"]["test"]["overall"]
    assert overall["count"] == summary["rows_by_split"]["test"]
    assert floor - 0.05 < overall["rmse"] < 0.95
    assert summary["metrics"]["valid"]["overall"]["count"] == summary["rows_by_split"]["valid"]
    assert (summary["blessed"], summary["blessing_reasons"], summary["pushed_version"]) == (True, [], 1)
    assert (
        summary["evaluation"]["baseline"]
        == "no model was served before this one: judged by the absolute bound alone"
    )
    assert summary["start"] == {
        "version": None,
        "reason": "no model was served before this one",
        "entries": {},
    }
    train = PRESETS[PRESET].train
    assert summary["sweeps"] == summary["kept_sweep"] == train.burn_in
    assert f"the mean of {train.sweeps} more sweeps" in Path(summary["report"]).read_text()
    assert summary["serving_validation"]["largest_difference"] < 1e-5
    assert Path(summary["serving_dir"]) == project.serving
    assert versions.versions(summary["serving_dir"]) == [1]
    assert versions.manifest(summary["serving_dir"], 1)["test_rmse"] == pytest.approx(
        overall["rmse"], abs=1e-5
    )
    assert release.served(summary["serving_dir"]) == 1
    assert f"{overall['rmse']:.4f}" in Path(summary["report"]).read_text()
    assert summary["packages"]["tfx"] == "1.21.0"
    assert project.executions() == {(node, "COMPLETE"): 1 for node in NODES}
    assert "PrismRunner" not in (project.home / "latest" / "run.log").read_text()


def test_the_terminal_shows_each_node_once_and_the_summary(first):
    summary, printed = first
    lines = printed.splitlines()
    assert len(lines) <= 60
    for node in NODES:
        assert len([line for line in lines if re.match(rf"done +{node} ", line)]) == 1, node
    assert "(generated data)" in printed
    assert f"{summary['metrics']['test']['overall']['rmse']:.4f}" in printed
    assert re.search(r"^pushed +version 1", printed, re.MULTILINE)
    assert f"report  {summary['report']}" in lines
    assert "deepfm serve" in printed
    assert "run.log" in lines[-1]


def test_a_job_service_and_workers_in_other_processes_give_the_same(project, first, job_service, tmp_path):
    workers = tmp_path / "workers"
    worker = f"{sys.executable} -m apache_beam.runners.worker.sdk_worker_main"
    options = (
        f"--job_endpoint={job_service}",
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config=sh -c 'echo $$ >> {workers}; exec {worker}'",
    )
    status, printed = project.deepfm(
        *RUN, "--runs", "portable", "--beam", "portable",
        *(f"--beam-option={option}" for option in options),
    )  # fmt: skip
    assert status == 0, printed
    started = workers.read_text().split()
    assert len(started) == len(set(started)) >= 4  # one at least for each node that runs on Beam
    local, summary = first[0], json.loads((_portable(project) / "latest" / "summary.json").read_text())
    for key in ("rows_by_split", "rows_rejected", "blessed", "pushed_version"):
        assert summary[key] == local[key], key
    for split, metrics in local["metrics"].items():
        assert summary["metrics"][split]["overall"] == pytest.approx(metrics["overall"], abs=1e-6)
    assert _vocabularies(_portable(project)) == _vocabularies(project.home)
    assert len(_vocabularies(project.home)) == 6


@pytest.fixture
def job_service(tmp_path):
    """Beam's own job service, in a process of its own."""
    port = tmp_path / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", module, f"--port_file={port}", f"--staging_dir={tmp_path}"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while not port.exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        yield f"localhost:{port.read_text()}"
        process.terminate()


def _portable(project):
    return project.folder / "portable" / project.home.name


def _vocabularies(home):
    """Return what Transform wrote for each vocabulary of the first run, by name."""
    assets = min((home / "artifacts" / "Transform" / "transform_graph").iterdir()) / "transform_fn" / "assets"
    return {path.name: path.read_bytes() for path in assets.iterdir()}


def test_the_pushed_model_answers_in_a_session_and_over_grpc(project, first):
    summary, _ = first
    version = Path(summary["serving_dir"], "1")
    tables = catalogue.Catalogue.load(version / catalogue.FOLDER)
    with SessionModel(version) as model:
        predicted = model.run("predict", tables.predict_inputs([1, 1], [1, 2], MOMENT))[features.RATING.name]
        ranked = model.run("rank", tables.rank_inputs(1, tables.mids, MOMENT))
    server = project.start("serve", "--model_base_path", summary["serving_dir"], "--port", "0")
    try:
        assert "the local stand-in" in server.stdout.readline()
        # Its log goes the same way.
        ready = next(line for line in server.stdout if line.startswith("serving"))
        assert "serving deepfm version 1 at" in ready
        ask = ("--target", ready.split()[-1], "--time", "2001-09-09T01:46:40")
        status, printed = project.deepfm("predict", "--uid", "1", "--mid", "1", "--mid", "2", *ask)
        assert status == 0, printed
        for mid, rating in zip((1, 2), predicted, strict=True):
            assert re.search(rf"^ *{mid} +{re.escape(tables.titles([mid])[0])} +{rating:.2f}", printed, re.M)
        rated = set(_rated_by(project, 1))
        for options, left_out in ((("--include-rated",), set()), ((), rated)):
            status, printed = project.deepfm("rank", "--uid", "1", "--top", "5", *options, *ask)
            assert status == 0, printed
            *rows, last = printed.splitlines()[1:]
            best = [mid for mid in ranked[features.MID.name].tolist() if mid not in left_out][:5]
            assert [int(row.split()[0]) for row in rows] == best
            assert last == "answered by version 1"
        assert rated & set(ranked[features.MID.name].tolist())
        assert np.all(np.diff(ranked[features.SCORE.name]) <= 0)
        assert np.any(np.diff(ranked[features.RATING.name]) > 0)  # the order is another than that of ratings
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0


def _rated_by(project, uid):
    """Return the movies that a user has rated, out of the data."""
    lines = (project.folder / "small" / "ratings.dat").read_text().splitlines()
    return [int(mid) for user, mid, *_ in (line.split("::") for line in lines) if int(user) == uid]


def test_a_second_run_uses_every_result_again(project, first):
    summary, _ = run(project)
    assert sorted(summary["cached_nodes"]) == sorted(NODES)
    assert summary["pushed_version"] == 1
    assert summary["metrics"] == first[0]["metrics"]
    assert versions.versions(summary["serving_dir"]) == [1]
    assert project.executions() == {
        **{(node, "COMPLETE"): 1 for node in NODES},
        **{(node, "CACHED"): 1 for node in NODES},
    }


def test_an_edit_reruns_the_nodes_that_it_touches(project, first):
    with (project.folder / "components" / "model_report" / "report.html.jinja").open("a") as template:
        template.write("<!-- edited -->\n")
    summary, _ = run(project)
    assert set(NODES) - set(summary["cached_nodes"]) == {"ModelReport"}
    assert Path(summary["report"]).read_text().rstrip().endswith("<!-- edited -->")


def test_a_model_that_was_removed_from_the_serving_folder_is_pushed_again(project, first):
    shutil.rmtree(project.home / "serving")
    summary, _ = run(project)
    assert set(NODES) - set(summary["cached_nodes"]) == {"Pusher", "ModelReport"}
    assert summary["pushed_version"] == 1
    assert versions.versions(summary["serving_dir"]) == [1]


def test_runs_killed_at_a_node_are_taken_up_there(project, first):
    artifacts = project.home / "artifacts"
    killed = {}
    for node in ("Trainer", "Evaluator"):
        killed[node] = project.kill_in(node, *RUN, "--seed", "1")
        assert project.executions()[node, "RUNNING"] == 1
    summary, _ = run(project, "--seed", "1")
    assert "Trainer" in summary["cached_nodes"]
    assert "Evaluator" not in summary["cached_nodes"]
    for node, leftover in killed.items():
        assert not list((artifacts / node).glob(f"*/{leftover}"))
        assert project.executions()[node, "RUNNING"] == 0
        assert project.executions()[node, "FAILED"] == 1
    assert summary["start"]["version"] == 1
    assert summary["start"]["entries"][features.UID.name] == {"kept": 150, "new": 0, "gone": 0}


def test_a_warm_run_begins_again_with_the_version_that_it_began_with(project, first):
    before, _ = run(project, "--seed", "2")
    pushed = before["pushed_version"]
    assert pushed == max(versions.versions(before["serving_dir"]))
    assert before["start"]["version"] == pushed - 1
    assert before["sweeps"] == PRESETS[PRESET].train.warm_burn_in
    summary, _ = run(project, "--seed", "2")
    assert sorted(summary["cached_nodes"]) == sorted(NODES)
    assert summary["start"] == before["start"]
    summary, _ = run(project, "--seed", "2", "--cold")
    assert summary["start"] == {"version": None, "reason": "asked for", "entries": {}}


def test_data_that_the_schema_does_not_know_stop_the_run(project, tmp_path):
    shutil.copytree(project.folder / "small", tmp_path / "odd")
    (tmp_path / "odd" / "dataset.json").unlink()
    movies = tmp_path / "odd" / "movies.dat"
    movies.write_bytes(movies.read_bytes().replace(b"Comedy", b"Telenovela"))
    status, printed = project.deepfm("run", "--data", str(tmp_path / "odd"))
    assert status == 1
    assert "failed DataGate" in printed
    assert re.search(r"train: `genres`: .*Telenovela", printed)
    assert "Traceback" not in printed
    assert "run.log" in printed.splitlines()[-1]
    assert len(printed.splitlines()) <= 60
    summary = json.loads((project.folder / "runs" / "odd" / "latest" / "summary.json").read_text())
    assert (summary["state"], summary["failed_node"], summary["blessed"]) == ("failed", "DataGate", False)
    assert summary["pushed_version"] is None


def test_too_many_bad_lines_stop_the_run_and_say_which(project, tmp_path):
    shutil.copytree(project.folder / "small", tmp_path / "bad")
    with (tmp_path / "bad" / "ratings.dat").open("ab") as ratings:
        ratings.write(b"1::1::9::978300760\n" * 500)
    status, printed = project.deepfm("run", "--data", str(tmp_path / "bad"))
    assert status == 1
    assert "failed RatingsExampleGen" in printed
    assert "500 of 12,500 lines rejected (4.00%, at most 1.00% allowed): rating_out_of_range 500" in printed
    kept = re.search(r"rejected lines are in (\S+)", printed).group(1)
    assert list(Path(kept).glob("*.parquet"))
    assert "Traceback" not in printed
    summary = project.summary()
    assert (summary["state"], summary["failed_node"]) == ("failed", "RatingsExampleGen")
    assert (summary["rows_read"], summary["rows_accepted"]) == (12_500, 12_000)
    assert summary["rows_rejected"] == {"rating_out_of_range": 500}
