"""The package on both back ends: from ratings to a pushed version, and the next day from that one."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.ratings_example_gen.config import ExampleGenConfig, SpanConfig
from components.serving_validator.config import ServingValidatorConfig
from components.trainer.config import TrainConfig
from pipeline.config import KubeflowConfig, PipelineConfig, TaskConfig
from pipeline.dataset.days import split_by_day
from pipeline.dataset.generated import generate
from pipeline.graph import create_pipeline
from pipeline.kubeflow.package import compile_package, write_package
from serving import release, versions

FIRST_SECOND = 977_875_200  # 2000-12-27 00:00 UTC
SECONDS_PER_DAY = 86_400
DAYS = 5
BAD_LINES = range(801, 826)  # that a day of 800 gets
READ_OUTSIDE = {"RatingsExampleGen", "ServedModel", "DataGate", "Pusher"}

# A model that a few ratings are enough for, and bounds that any model keeps.
CONFIG = PipelineConfig(
    dataset="small",
    data_folder=Path("/mnt/data"),
    root=Path("/mnt/runs/small"),
    generated=True,
    example_gen=ExampleGenConfig(spans=SpanConfig(evaluation_days=1)),
    model=DeepFMConfig(embedding_dim=4, hidden_units=(8,)),
    train=TrainConfig(batch_size=256, epochs=1, warm_epochs=1),
    evaluator=EvaluatorConfig(max_rmse=5.0, max_rmse_increase=5.0, max_slice_rmse_increase=5.0),
    serving_validator=ServingValidatorConfig(rows=50, oversized_rows=100, warmup_requests=1),
)


@pytest.fixture(scope="module")
def folder_of_days(tmp_path_factory):
    """Five days of ratings, 2000-12-27 to 2000-12-31, each of all users; the last is the one before again."""
    folder = tmp_path_factory.mktemp("data")
    generate(folder / "flat", ratings=4_000, users=100, movies=80, seed=3)
    path = folder / "flat" / "ratings.dat"
    ratings = [line.rsplit("::", 1)[0] for line in path.read_text().splitlines()]
    path.write_text(
        "".join(
            f"{rating}::{FIRST_SECOND + day * SECONDS_PER_DAY}\n"
            for day in range(DAYS)
            for rating in ratings[min(day, DAYS - 2) :: DAYS]
        )
    )
    split_by_day(folder / "flat", folder / "days", report=lambda share: None)
    return folder / "days"


@pytest.fixture(scope="module")
def bad_days(folder_of_days, tmp_path_factory):
    """The same days, with lines at the end of that of 2000-12-30 that are none."""
    folder = tmp_path_factory.mktemp("bad") / "days"
    shutil.copytree(folder_of_days, folder)
    with (folder / "span-2000-12-30" / "ratings.dat").open("a") as ratings:
        ratings.writelines(f"1::1::9::{line}\n" for line in BAD_LINES)
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    kubeflow = KubeflowConfig(image="deepfm:1")
    tasks = {**kubeflow.tasks, "DataGate": TaskConfig(cache=False, retries=0)}
    write_package(path, compile_package(CONFIG, dataclasses.replace(kubeflow, tasks=tasks)))
    return path


def model_run(backend, tasks):
    """Return how the training of a run began."""
    folder = backend.stored(tasks["Trainer"].artifacts["model_run"].uri)
    return json.loads((folder / "start.json").read_text())


def test_the_open_source_back_end_pushes_each_day_what_it_trained_from_the_day_before(
    backends, package, folder_of_days, bad_days, bucket, tmp_path
):
    fsspec.filesystem("s3").put(str(folder_of_days), f"{bucket}/days", recursive=True)
    serving = tmp_path / "serving" / "deepfm"
    folders = {"data_folder": f"{bucket}/days", "serving_folder": str(serving)}
    backend = backends.OpenSource(tmp_path / "backend", forked=True)
    first = backend.run(package, {**folders, "run_date": "2000-12-30", "window_days": 2})

    assert {name: (task.state, task.attempts) for name, task in first.items()} == {
        node.id: ("succeeded", 1) for node in create_pipeline(CONFIG).components
    }
    # What came to TFX's executors, through the project's entry point, had lost its types and gained a log.
    for task in first.values():
        for given in task.executor_input["inputs"].get("artifacts", {}).values():
            assert given["artifacts"][0]["type"] == {"instanceSchema": ""}
        assert "executor-logs" in task.executor_input["outputs"]["artifacts"]
    assert json.loads(first["RatingsExampleGen"].metadata("examples")["spans"]) == {
        "training": ["2000-12-28", "2000-12-29"],
        "evaluation": ["2000-12-30", "2000-12-30"],
        "missing": [],
        "redelivered": [],
    }
    assert model_run(backend, first)["version"] is None
    assert first["Pusher"].metadata("pushed_model")["pushed_version"] == "1"
    assert (versions.versions(serving), release.served(serving)) == ([1], 1)
    report = backend.stored(first["ModelReport"].artifacts["report"].uri)
    assert "test from 2000-12-30 to 2000-12-30" in (report / "report.html").read_text()

    # Lines that are lost with the container are in the log.
    bad = {"data_folder": str(bad_days), "run_date": "2000-12-30", "window_days": 2}
    with pytest.raises(backends.TaskFailedError) as failure:
        backend.run(package, {**folders, **bad})
    assert failure.value.task == "RatingsExampleGen"
    (shown,) = re.findall(r"the first rejected lines:\n((?:  .*\n)+)", failure.value.log)
    assert shown.splitlines() == [
        f"  span-2000-12-30/ratings.dat, line {line}: rating_out_of_range, b'1::1::9::{line}'"
        for line in BAD_LINES[:20]
    ]
    assert failure.value.log.splitlines()[-1].endswith("most are in span-2000-12-30/ratings.dat.")
    assert ".kept" not in failure.value.log

    with pytest.raises(backends.TaskFailedError) as failure:
        backend.run(package, {**folders, "run_date": "[[ScheduledTime.2006-01-02]]"})
    assert failure.value.task == "RatingsExampleGen"
    assert (
        "RunStoppedError: `run_date` is '[[ScheduledTime.2006-01-02]]', which the back end should"
        in (failure.value.log.splitlines()[-1])
    )

    # As a recurring run in the night after the day has it: a day that came again is not let pass.
    night = {**folders, "run_date": "2001-01-01", "lag_days": 1, "window_days": 2}
    with pytest.raises(backends.TaskFailedError) as failure:
        backend.run(package, night)
    assert failure.value.task == "DataGate"
    finding = "2000-12-31: share of ratings that an earlier day had too is 100.0%, at most 50.0% allowed"
    assert f"findings: 1\n  {finding}\n" in failure.value.log
    assert failure.value.log.splitlines()[-1].endswith("let it pass once with --accept-data.")
    assert release.served(serving) == 1

    # Until a run is told to, here with a container that dies.
    second = backend.run(
        package,
        {**night, "accept_data": True},
        kill={"RatingsExampleGen": "Starting executor"},
    )
    assert {name for name, task in second.items() if task.state == "cached"} == {"ImportSchemaGen"}
    assert second["RatingsExampleGen"].attempts == 2
    assert json.loads(second["RatingsExampleGen"].metadata("examples")["spans"]) == {
        "training": ["2000-12-29", "2000-12-30"],
        "evaluation": ["2000-12-31", "2000-12-31"],
        "missing": [],
        "redelivered": [],
    }
    assert model_run(backend, second)["version"] == 1
    gate = json.loads(
        (backend.stored(second["DataGate"].artifacts["data_blessing"].uri) / "report.json").read_text()
    )
    assert (gate["baseline"], gate["days"]) == ("compared with version 1", ["2000-12-31"])
    assert gate["findings"] == [finding]
    assert [
        tasks["DataGate"].executor_input["inputs"]["parameterValues"]["accept_data"]
        for tasks in (first, second)
    ] == [False, True]
    assert second["Pusher"].metadata("pushed_model")["pushed_version"] == "2"
    assert (versions.versions(serving), release.served(serving)) == ([1, 2], 2)
    assert versions.manifest(serving, 2)["baseline_version"] == 1


def test_vertex_ai_pushes_a_version(backends, package, folder_of_days, bad_days, tmp_path):
    serving = tmp_path / "serving" / "deepfm"
    backend = backends.Vertex(tmp_path / "backend", forked=True)
    tasks = backend.run(
        package,
        {
            "data_folder": str(folder_of_days),
            "serving_folder": str(serving),
            "run_date": "2000-12-30",
            "window_days": 2,
        },
        pipeline_root=str(tmp_path / "root"),
    )
    assert {task.state for task in tasks.values()} == {"succeeded"}
    for name, task in tasks.items():
        for given in task.executor_input["inputs"].get("artifacts", {}).values():
            assert re.match(r"title: (tfx|deepfm)\.", given["artifacts"][0]["type"]["instanceSchema"])
        # Beside the container a driver ran, once, and handed its findings over.
        assert len(list((tmp_path / "backend" / "pods").glob(f"*-{name}"))) == 1 + (name in READ_OUTSIDE)
    assert "inputs" in tasks["RatingsExampleGen"].executor_input["inputs"]["parameterValues"]
    assert tasks["ServedModel"].executor_input["inputs"]["parameterValues"]["baseline_version"] == 0.0
    assert model_run(backend, tasks)["version"] is None
    assert tasks["Pusher"].metadata("pushed_model")["pushed_version"] == "1"
    assert (versions.versions(serving), release.served(serving)) == ([1], 1)

    with pytest.raises(backends.TaskFailedError) as failure:
        backend.run(
            package,
            {"data_folder": str(bad_days), "serving_folder": str(serving), "run_date": "2000-12-30"},
            pipeline_root=str(tmp_path / "root"),
        )
    kept = re.search(r"rejected lines are in (\S+)", failure.value.log).group(1)
    assert pq.read_table(kept)["line"].to_pylist() == list(BAD_LINES)
