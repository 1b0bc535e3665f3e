import collections
import re
from pathlib import Path

import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
from tfx.types import standard_artifacts

from components.data_gate.artifacts import DataBlessing
from components.data_gate.report import Report as DataReport
from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.evaluator.results import Comparison, read_evaluation
from components.model_report.artifacts import CARD_FILE, REPORT_FILE, ModelReport
from components.model_report.config import DatasetFacts
from components.model_report.executor import Executor
from components.ratings_example_gen import counts
from components.ratings_example_gen.artifacts import RejectedRows
from components.ratings_example_gen.config import ExampleGenConfig
from components.serving_validator.report import Report
from components.trainer.config import TrainConfig
from components.trainer.history import HISTORY_FILE
from components.trainer.start import Start
from schema import features

HISTORY = """epoch,loss,mae,rmse,val_loss,val_mae,val_rmse
0,0.9,0.7,0.95,0.81,0.7,0.9
1,0.8,0.7,0.89,0.64,0.6,0.8
2,0.7,0.6,0.84,0.65,0.6,0.81
"""
RATINGS = pd.DataFrame(
    {
        features.RATING.name: [4.0, 3.0, 5.0, 2.0],
        "candidate": [4.5, 3.5, 4.5, 2.5],
        "baseline": [5.0, 4.0, 4.0, 3.0],
        features.UID.name: [1, 2, 3, 4],
        features.GENDER.name: ["M", "M", "M", "F"],
        features.AGE.name: [25] * 4,
        features.OCCUPATION.name: [12] * 4,
        features.GENRES.name: ["Film-Noir"] * 4,
        features.USER_ACTIVITY.name: ["light"] * 4,
        features.MOVIE_ACTIVITY.name: ["heavy"] * 4,
    }
)


@pytest.fixture(scope="module")
def evaluation_folder(tmp_path_factory, comparing_eval_config):
    """What TFMA writes of four test rows, with a baseline, and a slice of too few rows."""
    folder = str(tmp_path_factory.mktemp("evaluation"))
    config = comparing_eval_config(EvaluatorConfig(max_rmse=0.4, min_slice_rows=3))
    tfma.analyze_raw_data(RATINGS, config, output_path=folder)
    Comparison(version=6, reason="").write(folder)
    return folder


@pytest.fixture
def artifacts(tmp_path, evaluation_folder):
    kinds = {
        "rejected_rows": RejectedRows,
        "data_blessing": DataBlessing,
        "model_run": standard_artifacts.ModelRun,
        "evaluation": standard_artifacts.ModelEvaluation,
        "infra_blessing": standard_artifacts.InfraBlessing,
        "pushed_model": standard_artifacts.PushedModel,
        "report": ModelReport,
    }
    found = {name: kind() for name, kind in kinds.items()}
    for name, artifact in found.items():
        artifact.uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
    found["evaluation"].uri = evaluation_folder
    rows = counts.RowCounts(
        30, 29, collections.Counter(blank_line=1), collections.Counter(train=24, valid=1, test=4)
    )
    files = {"users.dat": counts.RowCounts(2, 2), "movies.dat": counts.RowCounts(3, 3), "ratings.dat": rows}
    (tmp_path / "rejected_rows" / counts.COUNTS_FILE).write_text(counts.to_json(files))
    (tmp_path / "model_run" / HISTORY_FILE).write_text(HISTORY)
    Start(version=None, reason="asked for").write(str(tmp_path / "model_run"))
    DataReport(splits=["train"], baseline="compared with version 6").write(found["data_blessing"].uri)
    figures = {"largest_difference": 1e-7, "predict_ms": 1.25, "rank_ms": 3.5, "bytes": 1000}
    Report([], figures).write(found["infra_blessing"].uri)
    found["pushed_model"].set_int_custom_property("pushed", 1)
    found["pushed_model"].set_string_custom_property("pushed_version", "7")
    return found


def run(artifacts):
    inputs = {name: [artifact] for name, artifact in artifacts.items() if name != "report"}
    properties = {
        "dataset": DatasetFacts(name="generated-tiny", generated=True, noise_floor_rmse=0.45).to_json(),
        "example_gen_config": ExampleGenConfig().to_json(),
        "run_date": "",
        "lag_days": 0,
        "window_days": 0,
        "model_config": DeepFMConfig().to_json(),
        "train_config": TrainConfig().to_json(),
        "evaluator_config": EvaluatorConfig(min_slice_rows=3).to_json(),
    }
    Executor().Do(inputs, {"report": [artifacts["report"]]}, properties)
    folder = artifacts["report"].uri
    return [Path(folder, name).read_text(encoding="utf-8") for name in (REPORT_FILE, CARD_FILE)]


def test_an_evaluation_is_read_with_its_baseline(evaluation_folder):
    evaluation = read_evaluation(evaluation_folder)
    overall = evaluation.overall
    assert (overall.name, overall.rows, overall.rmse, overall.mae, overall.baseline_rmse) == (
        "overall", 4, 0.5, 0.5, 1.0,
    )  # fmt: skip
    assert (overall.mean_rating, overall.mean_prediction) == (3.5, 3.75)
    assert overall.calibration == pytest.approx(3.75 / 3.5)
    (male,) = [s for s in evaluation.slices if s.feature == features.GENDER.name]
    assert (male.name, male.rows, male.mean_rating, male.mean_prediction) == (
        "gender=M", 3, 4.0, pytest.approx(12.5 / 3),
    )  # fmt: skip
    assert not evaluation.blessed
    assert "overall: rmse is 0.5000, at most 0.4000 allowed" in evaluation.reasons
    assert evaluation.comparison.text == "compared with version 6"


def test_both_files_hold_what_the_artifacts_say(artifacts):
    page, card = run(artifacts)
    for shown in ("generated-tiny", "0.5000", "1.0000", "version 7", "ompared with version 6", "blank_line"):
        assert shown in page, shown
        assert shown in card, shown
    assert "best: 0.8000 in epoch 2" in page
    assert "Cold start: asked for. Epoch 2 of 3 was kept." in page
    assert "- Cold start: asked for.\n" in card
    assert "epoch 2 of 3 was kept, for its validation RMSE of 0.8000" in card
    assert re.search(r"Film-Noir</th><td class=\"number\">4</td>", page)
    assert "| Genres: Film-Noir | 4 | 0.5000 | 1.0000, not judged | 0.5000 | 1.071 |" in card
    assert "Evaluator: overall: rmse is 0.5000, at most 0.4000 allowed" in page


def test_a_run_that_pushed_nothing_has_its_report_too(artifacts):
    artifacts["pushed_model"].set_int_custom_property("pushed", 0)
    Report(["the process died"], {"stderr": "x", "bytes": 1000}).write(artifacts["infra_blessing"].uri)
    page, card = run(artifacts)
    assert "not pushed" in page
    assert "ServingValidator: the process died" in page
    assert "ServingValidator: the process died" in card
