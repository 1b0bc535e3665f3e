import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from serving.saved_model import SessionModel
from tests.benchmarks import latency

ROOT = Path(__file__).parents[2]


def ran(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.latency", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300"},
    )  # fmt: skip


def test_versions_are_set_beside_the_first(models):
    done = ran(models[1], models[2], "--rounds=3")
    assert (done.returncode, done.stderr) == (0, "")
    heading, first, second = (
        [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]
        for line in done.stdout.splitlines()
        if line[0] in "┃│"
    )
    assert heading == ["version", "predict 1, ms", "to the first", "rank 3, ms", "to the first"]
    assert (first[0], second[0]) == (str(models[1]), str(models[2]))
    assert first[2] == first[4] == "1.00 (1.00 to 1.00)"
    # The same graph with another constant.
    assert 0.3 < float(second[2].split()[0]) < 3
    assert float(first[1]) > 0
    assert done.stdout.splitlines()[-1].startswith("3 rounds; ")


def test_a_folder_without_a_model_is_a_sentence(tmp_path):
    done = ran(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot load {tmp_path}: SavedModel file does not exist")
    assert len(done.stderr.splitlines()) == 1


def test_a_round_is_the_least(models):
    done = ran(models[1], "--rounds=0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("--rounds must be at least 1, got 0")


def test_each_question_is_put_to_another_version_first(models, movie_catalogue, monkeypatch):
    asked = []
    run = SessionModel.run
    monkeypatch.setattr(
        SessionModel,
        "run",
        lambda model, kind, inputs: asked.append((model.path, kind)) or run(model, kind, inputs),
    )
    with SessionModel(models[1]) as one, SessionModel(models[2]) as two:
        questions = [(1, movie_catalogue.mids)] * 3
        took = latency.measure([(one, movie_catalogue), (two, movie_catalogue)], questions, "rank")
    assert took.shape == (3, 2)
    assert [path for path, _ in asked] == [models[bias] for bias in (1, 2, 2, 1, 1, 2)]
    assert {kind for _, kind in asked} == {"rank"}


def test_a_round_gives_one_ratio():
    # Rounds by calls by versions; the machine is slow in the second round.
    calls = np.array(
        [[[1, 2], [1, 2], [9, 2]], [[10, 15], [10, 15], [10, 99]], [[1, 1.8], [1, 1.8], [1, 1.8]]]
    )
    assert list(latency.cells(calls)) == [("1.00", "1.00 (1.00 to 1.00)"), ("2.00", "1.80 (1.50 to 2.00)")]
