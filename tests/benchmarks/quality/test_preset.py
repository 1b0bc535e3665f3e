import numpy as np
import pyarrow as pa
import tensorflow as tf

from pipeline.dataset.generated import generate
from schema import features
from serving.catalogue import Catalogue
from serving.saved_model import SessionModel
from tests.benchmarks.quality.model import NO_MOMENT, SECOND, Task
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


class Clock(tf.Module):
    """Rates by the moment that is asked about, and by the movie."""

    @tf.function
    def predict(self, **raw):
        times, mids = raw[features.TIMESTAMP.name], raw[features.MID.name]
        return {features.RATING.name: tf.cast(times + mids, tf.float32)}


def test_questions_are_asked_at_their_moments_and_without(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.benchmarks.quality.preset.ROWS_PER_REQUEST", 2)
    clock = Clock()
    signature = {
        name: tf.TensorSpec(
            [None, None] if values.ndim == 2 else [None], tf.as_dtype(values.dtype), name=name
        )
        for name, values in Catalogue.empty().predict_inputs([1], [1]).items()
    }
    tf.saved_model.save(
        clock, str(tmp_path), signatures={"predict": clock.predict.get_concrete_function(**signature)}
    )
    questions = pa.table({"uid": [7, 7, 8], "mid": [20, 30, 20], "timestamp": [100, 200, 300]})
    with SessionModel(tmp_path) as session:
        said, milliseconds = ask(session, Catalogue.empty(), questions, ranking=False)
        assert said.tolist() == [120, 230, 320]
        assert milliseconds > 0
        said, _ = ask(session, Catalogue.empty(), without_moments(questions), ranking=False)
        assert said.tolist() == [19, 29, 19]


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
