"""The baselines whose packages are in an environment of their own, where `make bench-quality` has made it."""

import numpy as np
import pytest

from pipeline.dataset.generated import generate
from tests.benchmarks.quality.baseline import FOLDER, PYTHON, Baseline
from tests.benchmarks.quality.model import SECOND, Task
from tests.benchmarks.quality.protocols import PROTOCOLS

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make bench-quality` was never run")


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
    return protocol.judge(rows, answers.predictions).metrics["overall"]


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


@pytest.mark.parametrize("script", ["item_knn.py", "implicit_als.py"])
def test_an_order_is_ahead_of_chance(data, tmp_path, script):
    assert overall(data, tmp_path, "last", script)["recall_10"] > 0.2  # by chance 0.1 to 0.2
