import json
import re
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.ratings_example_gen.config import SplitMethod
from pipeline.dataset.generated import generate
from schema import features
from serving.catalogue import Catalogue
from serving.saved_model import SessionModel
from tests.benchmarks.quality import splits
from tests.benchmarks.quality.model import NO_MOMENT, SECOND, ModelFailedError, Task
from tests.benchmarks.quality.models import MODELS
from tests.benchmarks.quality.preset import PresetModel, ask, loaded_bytes, of_users, scores, without_moments
from tests.benchmarks.quality.protocols import PROTOCOLS


def test_presets_are_told_apart():
    assert {"deepfm-default", "deepfm-gradient", "deepfm-notebook"} <= MODELS.keys()
    assert PresetModel("default").identity != PresetModel("notebook").identity
    assert PresetModel("default").identity == MODELS["deepfm-default"].identity


def test_a_preset_is_run_by_the_pipeline_and_asked_as_it_is_served(tmp_path):
    data, rows, work, protocol = *(tmp_path / name for name in ("data", "rows", "work")), PROTOCOLS["random"]
    generate(data, ratings=20_000, users=200, movies=150, seed=3)
    protocol.make(data, rows)
    work.mkdir()
    task = Task(rows=rows, split=protocol.split, seed=1, work=work, data=data, ranking=False)
    answers = PresetModel("fast").answer(task)
    assert answers.predictions.keys() == {SECOND, NO_MOMENT}
    told, untold = (
        protocol.judge(rows, answers.predictions[moment]).metrics["overall"]["rmse"]
        for moment in (SECOND, NO_MOMENT)
    )
    assert told < 0.95  # the best constant has 1.085
    assert told != untold < 0.95
    assert answers.largest_difference < 1e-5
    assert answers.cost.train_seconds > 1
    assert answers.cost.model_bytes > 100_000
    assert PresetModel("fast").fits_validation
    assert not PresetModel("notebook").fits_validation


@pytest.mark.parametrize(
    ("status", "summary", "message"),
    [
        (1, {}, "`deepfm run` ended with status 1; see "),
        (0, {"pushed_version": None, "blessing_reasons": ["Evaluator: worse"]}, "pushed: Evaluator: worse; "),
        (
            0,
            {"pushed_version": 1, "rows_by_split": {"train": 2, "valid": 2, "test": 1}},
            "'valid': 2, 'test': 1}, where the bench has {'train': 2, 'valid': 1}",
        ),
    ],
)
def test_a_run_that_answers_nothing_comparable_is_refused(tmp_path, monkeypatch, status, summary, message):
    rows = pa.table({"uid": [1, 2]})
    pq.write_table(rows, tmp_path / splits.TRAIN)
    pq.write_table(rows[:1], tmp_path / splits.VALID)
    latest = tmp_path / "runs" / "small" / "latest"
    latest.mkdir(parents=True)
    (latest / "summary.json").write_text(json.dumps(summary))
    ended = subprocess.CompletedProcess([], status)
    monkeypatch.setattr("tests.benchmarks.quality.preset.subprocess.run", lambda *args, **kwargs: ended)
    task = Task(rows=tmp_path, split=SplitMethod.RANDOM, seed=1, work=tmp_path, data=tmp_path, ranking=False)
    with pytest.raises(ModelFailedError, match=re.escape(message)):
        PresetModel("fast").answer(task)


class Clock(tf.Module):
    """Rates by the moment that is asked about and by the movie, and puts the best first."""

    @tf.function
    def predict(self, **raw):
        times, mids = raw[features.TIMESTAMP.name], raw[features.MID.name]
        return {features.RATING.name: tf.cast(times + mids, tf.float32)}

    @tf.function
    def rank(self, **raw):
        mids = tf.sort(raw[features.MID.name], direction="DESCENDING")
        scores = tf.cast(raw[features.TIMESTAMP.name] + mids, tf.float32)
        return {features.MID.name: mids, features.SCORE.name: scores, features.RATING.name: -scores}

    def save(self, folder):
        """Save it with both signatures."""
        known = Catalogue.empty()
        signatures = {}
        for signature, inputs in (
            (self.predict, known.predict_inputs([1], [1])),
            (self.rank, known.rank_inputs(1, [1])),
        ):
            specs = {
                name: tf.TensorSpec(
                    [None, None] if values.ndim == 2 else [None], tf.as_dtype(values.dtype), name=name
                )
                for name, values in inputs.items()
            }
            signatures[signature.__name__] = signature.get_concrete_function(**specs)
        tf.saved_model.save(self, str(folder), signatures=signatures)


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clock")
    Clock().save(folder)
    with SessionModel(folder) as session:
        yield session


def test_questions_are_asked_at_their_moments_and_without(clock, monkeypatch):
    monkeypatch.setattr("tests.benchmarks.quality.preset.ROWS_PER_REQUEST", 2)
    questions = pa.table({"uid": [7, 7, 8], "mid": [20, 30, 20], "timestamp": [100, 200, 300]})
    said, milliseconds = ask(clock, Catalogue.empty(), questions, ranking=False)
    assert said.tolist() == [120, 230, 320]
    assert milliseconds > 0
    said, _ = ask(clock, Catalogue.empty(), without_moments(questions), ranking=False)
    assert said.tolist() == [19, 29, 19]


def test_an_order_is_asked_for_at_the_moment_of_each_user_and_without(clock):
    questions = pa.table(
        {"uid": [7, 7, 7, 8, 8], "mid": [30, 20, 40, 20, 50], "timestamp": [100, 100, 100, 300, 300]}
    )
    said, _ = ask(clock, Catalogue.empty(), questions, ranking=True)
    assert said.tolist() == [130, 120, 140, 320, 350]
    said, _ = ask(clock, Catalogue.empty(), without_moments(questions), ranking=True)
    assert said.tolist() == [29, 19, 39, 19, 49]


def test_a_ranking_is_read_back_in_the_order_of_the_questions():
    uids, mids = np.array([3, 3, 3, 1, 1, 1, 1]), np.array([7, 5, 9, 5, 7, 8, 9])
    assert of_users(uids) == [slice(0, 3), slice(3, 7)]
    ranked = {features.MID.name: np.array([9, 7, 5]), features.SCORE.name: np.array([3.0, 2.0, -1.0])}
    assert scores(ranked, mids[of_users(uids)[0]]).tolist() == [2, -1, 3]


def test_only_what_a_server_loads_is_counted(tmp_path):
    for name, size in (
        ("saved_model.pb", 5),
        ("variables/variables.index", 7),
        ("assets.extra/catalogue/u", 9),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    assert loaded_bytes(tmp_path) == 12
