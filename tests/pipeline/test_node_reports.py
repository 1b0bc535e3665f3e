"""What is said on the terminal, and in summary.json, of what a node did not do."""

import io

import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
from rich.console import Console
from tfx.types import standard_artifacts

from components.evaluator.config import EvaluatorConfig
from components.evaluator.results import Comparison, why_not_judged
from pipeline import local, node_reports
from schema import features
from serving import release, versions

ROWS = 12


@pytest.fixture(scope="module")
def report(tmp_path_factory, comparing_eval_config):
    """Return a function that reports an evaluation of a few rows, against a served model or none."""
    folder = str(tmp_path_factory.mktemp("evaluation"))
    config = comparing_eval_config(EvaluatorConfig())
    rows = {name: [1] * ROWS for name in (f.name for f in features.EXAMPLE)}
    rows |= {
        features.UID.name: list(range(ROWS)),
        features.RATING.name: [3.0, 4.0] * (ROWS // 2),
        "candidate": [3.25, 4.25] * (ROWS // 2),
        "baseline": [3.5, 4.5] * (ROWS // 2),
    }
    tfma.analyze_raw_data(pd.DataFrame(rows), config, output_path=folder)
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = folder

    def run(comparison=None):
        comparison = comparison or Comparison(version=7, reason=why_not_judged(folder))
        comparison.write(folder)
        return node_reports.report("Evaluator", {"evaluation": evaluation})

    return run


def shown(found, row):
    """Return a row of the summary at the end of a run, with the codes of its colours."""
    summary = {
        "dataset": {"generated": False, "name": "small", "noise_floor_rmse": None},
        "rows_read": ROWS,
        "rows_accepted": ROWS,
        "rows_rejected": {},
        "rows_replaced": 0,
        "data_gate": {"findings": [], "baseline": "compared with version 7"},
        "blessed": True,
        "blessing_reasons": [],
        "pushed_version": None,
        "served_instead": None,
        "seconds": 1.0,
        "cached_nodes": [],
        "seconds_by_node": {},
        "report": "report.html",
        "serving_dir": "serving",
        "metrics": {"test": {"overall": {"rmse": 0.25, "mae": 0.25, "count": ROWS}}},
        "evaluation": {"baseline": "compared with version 7", "baseline_version": 7, "compared": True},
        **found.summary,
    }
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=200)
    local._show_summary(summary, console)
    (line,) = [line for line in console.file.getvalue().splitlines() if row in line]
    return line


def test_a_comparison_that_was_not_made_is_told_as_a_warning(report):
    found = report()
    text = "not compared with version 7: 12 test rows, 200 are needed; judged by the absolute bound alone"
    assert found.text == f"test RMSE 0.2500, MAE 0.2500; blessed; {text}"
    assert found.summary["evaluation"] == {
        "blessed": True,
        "reasons": [],
        "baseline": text,
        "baseline_version": 7,
        "compared": False,
        "not_compared": "12 test rows, 200 are needed",
        "baseline_rmse": 0.5,
    }
    assert f"\x1b[33m{text}\x1b[0m" in shown(found, "baseline")


@pytest.mark.parametrize(
    ("comparison", "text", "compared"),
    [
        (Comparison(version=7, reason=""), "compared with version 7", True),
        (
            Comparison(version=None, reason="no model was served before this one"),
            "no model was served before this one: judged by the absolute bound alone",
            False,
        ),
    ],
)
def test_where_nothing_was_left_out_there_is_no_warning(report, comparison, text, compared):
    found = report(comparison)
    assert found.text == "test RMSE 0.2500, MAE 0.2500; blessed"
    assert found.summary["evaluation"]["baseline"] == text
    assert found.summary["evaluation"]["compared"] is compared
    assert text in shown(found, "baseline")
    assert "\x1b[33m" not in shown(found, "baseline")


@pytest.fixture
def pushed(tmp_path):
    """Versions 1 and 2, of which the last is released; what the Pusher says of the last."""
    serving = tmp_path / "serving"
    model = tmp_path / "model"
    model.mkdir()
    for version in (1, 2):
        (model / versions.SAVED_MODEL).write_text(str(version))
        release.publish(serving, versions.publish(model, serving, fingerprint=str(version)))
    artifact = standard_artifacts.PushedModel()
    artifact.set_int_custom_property("pushed", 1)
    artifact.set_string_custom_property("pushed_version", "2")
    artifact.set_string_custom_property("pushed_destination", f"{serving}/2")
    return artifact


def test_a_pushed_version_is_the_served_one(pushed):
    found = node_reports.report("Pusher", {"pushed_model": pushed})
    assert (found.text, found.summary) == ("version 2", {"pushed_version": 2, "served_instead": None})
    assert shown(found, "pushed").rstrip().endswith("version 2")


def test_a_version_that_a_rollback_keeps_from_being_served_is_told(pushed, tmp_path):
    release.rollback(tmp_path / "serving", "worse")
    found = node_reports.report("Pusher", {"pushed_model": pushed})
    assert found.text == "version 2, which was served before; version 1 stays served"
    assert found.summary == {"pushed_version": 2, "served_instead": 1}
    assert "version 2, which was served before; \x1b[33mversion 1 stays served" in shown(found, "pushed")
