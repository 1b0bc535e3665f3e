"""Faults planted in single days of a folder of days: which gate stops each, and how it goes on after it.

The graph whole, as `deepfm run` runs it, but in this process.
"""

import json
import os
import shutil

import numpy as np
import pytest

from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.ratings_example_gen import spans
from components.ratings_example_gen.config import ExampleGenConfig, SpanConfig
from components.trainer.config import TrainConfig
from pipeline import local_worker
from pipeline.config import PipelineConfig
from pipeline.dataset.generated import generate
from pipeline.job import Job
from serving import release, versions

DAYS = 14
RATINGS = 12_000
SERVED, FAULTY, NEXT = "2000-12-12", "2000-12-13", "2000-12-14"


def day(number):
    return f"2000-12-{number:02d}"


class Retraining:
    """A folder of days that grows, and the runs on it."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.serving = folder / "runs" / "serving" / "deepfm"
        generate(folder / "small", ratings=RATINGS, users=150, movies=120, seed=3)
        lines = (folder / "small" / "ratings.dat").read_bytes().splitlines(keepends=True)
        # Each user rates on each day.
        of_day = np.random.default_rng(0).integers(1, DAYS + 1, len(lines))
        self.days = {
            day(n): b"".join(lines[i] for i in np.flatnonzero(of_day == n)) for n in range(1, DAYS + 1)
        }
        self.data.mkdir()
        for name in ("users.dat", "movies.dat"):
            shutil.copy(folder / "small" / name, self.data / name)
        for n in range(1, 13):
            self.deliver(day(n), self.days[day(n)])

    def deliver(self, name, ratings, **files):
        """Write a day."""
        folder = self.data / f"{spans.PREFIX}{name}"
        folder.mkdir()
        (folder / "ratings.dat").write_bytes(ratings)
        for file, content in files.items():
            (folder / f"{file}.dat").write_bytes(content)

    def withdraw(self, name):
        """Remove a day."""
        shutil.rmtree(self.data / f"{spans.PREFIX}{name}", ignore_errors=True)

    def run(self, date, **train):
        """Run the pipeline in this process; return its summary."""
        config = PipelineConfig(
            dataset="small",
            data_folder=self.data,
            root=self.folder / "runs",
            generated=True,
            run_date=date,
            example_gen=ExampleGenConfig(spans=SpanConfig(evaluation_days=2)),
            model=DeepFMConfig(embedding_dim=4, hidden_units=(8,)),
            train=TrainConfig(**{"epochs": 4, "batch_size": 256, "warm_epochs": 1, **train}),
            evaluator=EvaluatorConfig(
                max_rmse=1.1, max_rmse_increase=0.05, max_slice_rmse_increase=0.5, min_slice_rows=200
            ),
        )
        run_folder = self.folder / "runs" / "history" / str(len(list(self.folder.glob("runs/history/*"))))
        run_folder.mkdir(parents=True)
        facts = {"dataset": {"name": "small"}, "serving_dir": str(config.serving)}
        local_worker.run(
            Job(
                config=config,
                run_folder=run_folder,
                event_descriptor=os.open(os.devnull, os.O_WRONLY),
                facts=facts,
            )
        )
        return json.loads((run_folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def retraining(tmp_path_factory):
    """Days of which the first twelve made the version that is served."""
    retraining = Retraining(tmp_path_factory.mktemp("retraining"))
    summary = retraining.run(SERVED)
    assert summary.get("error") is None
    assert summary["pushed_version"] == 1
    return retraining


def test_the_version_carries_what_its_data_was_like(retraining):
    extra = retraining.serving / "1" / versions.ASSETS_EXTRA
    assert 1000 < (extra / "train_statistics.pb").stat().st_size < 200_000
    assert versions.manifest(retraining.serving, 1)["spans"] == {
        "training": [day(1), day(10)],
        "evaluation": [day(11), day(12)],
        "missing": [],
        "redelivered": [],
    }


def doubled(retraining):
    return {"ratings": retraining.days[FAULTY] * 2}


def copied(retraining):
    return {"ratings": retraining.days[SERVED]}


def misspelt(retraining):
    movies = (retraining.data / "movies.dat").read_bytes()
    assert b"Drama" in movies
    return {"ratings": retraining.days[FAULTY], "movies": movies.replace(b"Drama", b"drama")}


def five_stars(retraining):
    fields = (line.split(b"::") for line in retraining.days[FAULTY].splitlines())
    return {"ratings": b"".join(b"::".join([uid, mid, b"5", time]) + b"\n" for uid, mid, _, time in fields)}


def without_zips(retraining, every=1):
    lines = (retraining.data / "users.dat").read_bytes().splitlines()
    emptied = [line.rpartition(b"::")[0] + b"::" if n % every == 0 else line for n, line in enumerate(lines)]
    return {"ratings": retraining.days[FAULTY], "users": b"\n".join(emptied) + b"\n"}


@pytest.mark.parametrize(
    ("fault", "node", "said"),
    [
        (None, "RatingsExampleGen", "missing or late: 2000-12-13; "),
        (doubled, "RatingsExampleGen", "That is of all days; most are in span-2000-12-13/ratings.dat. "),
        (
            copied,
            "DataGate",
            "2000-12-13: share of ratings that an earlier day had too is 100.0%, at most 50.0% allowed",
        ),
        (misspelt, "DataGate", "test: `genres`: Unexpected string values: "),
        (five_stars, "DataGate", "2000-12-13: `rating`: mean rating (12 days before: "),
        (without_zips, "DataGate", "test: `zip`: "),
        (
            lambda retraining: without_zips(retraining, every=3),
            "DataGate",
            "train: `zip`: share of rows without a value (version 1: ",
        ),
    ],
    ids=["missing", "doubled", "copied", "misspelt", "five_stars", "no_zips", "few_zips"],
)
def test_a_faulty_day_is_stopped_by_the_right_gate(retraining, fault, node, said):
    if fault:
        files = fault(retraining)
        retraining.deliver(FAULTY, files.pop("ratings"), **files)
    try:
        summary = retraining.run(FAULTY)
    finally:
        retraining.withdraw(FAULTY)
    assert (summary["state"], summary["failed_node"]) == ("failed", node)
    assert said in summary["error"]
    assert "Trainer" not in summary["seconds_by_node"]
    assert summary["pushed_version"] is None
    assert versions.versions(retraining.serving) == [1]
    assert release.served(retraining.serving) == 1


def test_a_bad_day_that_still_lies_there_stops_the_next_one_too(retraining):
    retraining.deliver(FAULTY, **five_stars(retraining))
    retraining.deliver(NEXT, retraining.days[NEXT])
    try:
        summary = retraining.run(NEXT)
    finally:
        retraining.withdraw(FAULTY)
        retraining.withdraw(NEXT)
    assert (summary["state"], summary["failed_node"]) == ("failed", "DataGate")
    assert f"{FAULTY}: `rating`: mean rating (12 days before: " in summary["error"]
    assert f"{NEXT}: " not in summary["error"]
    assert release.served(retraining.serving) == 1


def test_a_bad_model_is_stopped_and_the_next_good_one_is_served(retraining, tmp_path, monkeypatch):
    retraining.deliver(FAULTY, retraining.days[FAULTY])
    retraining.deliver(NEXT, retraining.days[NEXT])
    summary = retraining.run(NEXT, cold=True, learning_rate=3.0, epochs=1)
    assert summary["state"] == "succeeded"
    assert summary["evaluation"]["blessed"] is False
    assert "above the served model's" in " ".join(summary["evaluation"]["reasons"])
    assert summary["pushed_version"] is None
    assert release.served(retraining.serving) == 1
    # A machine on which no process can import TensorFlow is no fault of the model.
    (tmp_path / "tensorflow.py").write_text('raise ImportError("libscipy.so: cannot open")')
    with monkeypatch.context() as broken:
        broken.setenv("PYTHONPATH", str(tmp_path))
        summary = retraining.run(NEXT)
    assert (summary["state"], summary["failed_node"]) == ("failed", "ServingValidator")
    assert "before it touched the model: ImportError: libscipy.so: cannot open." in summary["error"]
    assert not summary["data_refused"]
    assert "serving_validation" not in summary
    assert release.served(retraining.serving) == 1
    summary = retraining.run(NEXT)
    assert "Trainer" in summary["cached_nodes"]
    assert "ServingValidator" not in summary["cached_nodes"]
    assert summary["data_gate"]["baseline"] == "compared with version 1"
    assert summary["data_gate"]["days"] == [FAULTY, NEXT]
    assert summary["data_gate"]["findings"] == []
    assert summary["start"]["version"] == 1
    assert summary["pushed_version"] == 2
    assert release.served(retraining.serving) == 2
