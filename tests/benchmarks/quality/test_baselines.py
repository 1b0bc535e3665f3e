"""The baselines; those with packages of their own where `make bench-quality` has installed them."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ratings_example_gen.config import SplitMethod
from pipeline.dataset.generated import generate
from tests.benchmarks.quality import splits
from tests.benchmarks.quality.baseline import FOLDER, PYTHON, Baseline
from tests.benchmarks.quality.model import SECOND, Task
from tests.benchmarks.quality.protocols import PROTOCOLS

SECONDS_PER_DAY = 86_400
OWN = Path(sys.executable)  # has all that EASE needs

needs_packages = pytest.mark.skipif(not PYTHON.exists(), reason="`make bench-quality` was never run")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "small"
    generate(folder, ratings=6000, users=100, movies=150, seed=3)
    return folder


def overall(data, folder, split, script, *options):
    """Fit one baseline and return its metrics of all test rows."""
    rows, work, protocol = folder / "rows", folder / "work", PROTOCOLS[split]
    protocol.make(data, rows)
    work.mkdir()
    task = Task(
        rows=rows,
        split=protocol.split,
        seed=1,
        work=work,
        data=protocol.data(data, rows),
        ranking=protocol.ranking,
    )
    answers = Baseline(FOLDER / script, options).answer(task)
    assert answers.cost.model_bytes > 0
    assert np.ptp(answers.predictions[SECOND]) > 0
    return protocol.judge(rows, answers.predictions[SECOND]).metrics["overall"]


@needs_packages
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("surprise_svd.py", ["--algorithm=svd++"]),
        ("myfm_svdpp.py", ["--rank=4", "--iterations=20"]),
        ("myfm_svdpp.py", ["--rank=4", "--iterations=20", "--day", "--ordered"]),
        ("deepctr_deepfm.py", []),
    ],
)
def test_ratings_are_nearer_than_a_constant(data, tmp_path, script, options):
    metrics = overall(data, tmp_path, "random", script, *options)
    assert metrics["rmse"] < 1.0  # the best constant has 1.08
    assert metrics["auc"] > 0.7


@needs_packages
@pytest.mark.parametrize(
    ("script", "options"), [("item_knn.py", []), ("implicit_als.py", []), ("ease.py", ["--fade=3"])]
)
def test_an_order_is_ahead_of_chance(data, tmp_path, script, options):
    assert overall(data, tmp_path, "last", script, *options)["recall_10"] > 0.2  # by chance 0.1 to 0.2


def predictions(folder, rows, questions, script, *options, python=PYTHON):
    """Fit one baseline to literal rows, the last of which are the validation rows, and return its answers.

    Rows are of user, movie, rating and second; questions are the same without the rating.
    """
    names = [feature.name for feature in splits.COLUMNS]
    half = len(rows) // 2
    for file, part, columns in (
        (splits.TRAIN, rows[:half], names),
        (splits.VALID, rows[half:], names),
        (splits.QUESTIONS, questions, [names[0], names[1], names[3]]),
    ):
        pq.write_table(pa.table([list(column) for column in zip(*part, strict=True)], columns), folder / file)
    task = Task(rows=folder, split=SplitMethod.RANDOM, seed=1, work=folder, data=folder, ranking=False)
    return Baseline(FOLDER / script, options, python).answer(task).predictions[SECOND]


# Of n users who have all rated the same m movies, each weight is n / (L2 + n (m - 1)), here 2 / (2 + 6): the
# score of a movie is a fourth of what the other three count.
SECONDS = {1: [40, 30, 20, 10], 2: [10, 25, 25, 40]}
ROWS = [(uid, mid, 3.0, SECONDS[uid][mid - 1]) for mid in (3, 1, 4, 2) for uid in (2, 1)]
QUESTIONS = [(uid, mid, 50) for uid in (1, 2) for mid in (1, 2, 3, 4)]


def test_what_was_rated_long_ago_fades(tmp_path):
    scores = predictions(tmp_path, ROWS, QUESTIONS, "ease.py", "--l2=2", "--fade=1", python=OWN)
    # User 1's movies count 1, e^-1, e^-2, e^-3; user 2's e^-3, twice the mean of e^-1 and e^-2, and 1.
    assert scores[:4] == pytest.approx([0.1382504, 0.2962806, 0.3544166, 0.3758037], abs=1e-6)
    assert scores[4:] == pytest.approx([0.3758037, 0.3253486, 0.3253486, 0.1382504], abs=1e-6)


def test_without_a_fade_all_that_was_rated_counts_the_same(tmp_path):
    scores = predictions(tmp_path, ROWS, QUESTIONS, "ease.py", "--l2=2", python=OWN)
    assert scores == pytest.approx([0.75] * 8)


@needs_packages
def test_an_unseen_day_is_as_the_nearest_one_before(tmp_path):
    stars = {10: 1.0, 20: 5.0, 30: 3.0}  # that each user gave to ten movies on a day
    rows = [
        (uid, day + nth, stars[day], day * SECONDS_PER_DAY)
        for day in stars
        for uid in range(1, 6)
        for nth in range(10)
    ]
    questions = [(1, 99, day * SECONDS_PER_DAY + 7) for day in (5, 10, 19, 20, 21, 29, 30, 31, 400)]
    answers = predictions(tmp_path, rows, questions, "myfm_svdpp.py", "--rank=2", "--iterations=20", "--day")
    assert answers[[0, 2]].tolist() == [answers[1]] * 2
    assert answers[[4, 5]].tolist() == [answers[3]] * 2
    assert answers[[7, 8]].tolist() == [answers[6]] * 2
    assert answers[1] < answers[6] < answers[3]
