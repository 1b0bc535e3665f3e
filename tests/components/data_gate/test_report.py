import json

import pytest

from components.data_gate.config import Kind, Severity
from components.data_gate.report import REPORT_FILE, Measurement, Report, advice


def measurement(figure, low=None, high=None, kind=Kind.MEAN_RATING, feature=""):
    return Measurement(
        kind=kind,
        feature=feature,
        where="train",
        what="figure",
        figure=figure,
        low=low,
        high=high,
        severity=Severity.WARN,
    )


@pytest.mark.parametrize(
    ("figure", "low", "high", "passed"),
    [
        (1.0, 1.0, 2.0, True),
        (2.0, 1.0, 2.0, True),
        (0.9, 1.0, None, False),
        (2.1, None, 2.0, False),
        (float("nan"), None, 2.0, False),
        (float("nan"), 1.0, None, False),
    ],
)
def test_a_figure_keeps_its_bounds_or_not(figure, low, high, passed):
    assert measurement(figure, low, high).passed is passed


def test_a_figure_is_shown_as_its_kind_is():
    assert measurement(0.12345, high=0.5).text == "train: figure is 0.1235, at most 0.5 allowed"
    shares = measurement(0.12345, 0.1, 0.5, Kind.OOV, "mid")
    assert shares.text == "train: `mid`: figure is 12.3%, 10.0% to 50.0% allowed"
    assert measurement(0.0, low=1.0, kind=Kind.QUIET).text == "train: figure is 0, at least 1 allowed"


def test_a_report_is_read_as_it_was_written(tmp_path):
    report = Report(
        splits=["train", "test"],
        baseline="compared with version 3",
        days=["2000-12-31"],
        measurements=[measurement(3.0, high=4.0), measurement(5.0, 1.0, 4.0)],
        notes=["nothing"],
    )
    report.write(str(tmp_path))
    assert Report.read(str(tmp_path)) == report
    written = json.loads((tmp_path / REPORT_FILE).read_text())
    assert written["findings"] == ["train: figure is 5, 1 to 4 allowed"]
    assert written["measurements"][0] == {
        "kind": "mean_rating",
        "feature": "",
        "where": "train",
        "what": "figure",
        "figure": 3.0,
        "low": None,
        "high": 4.0,
        "severity": "warn",
    }
    assert report.text == "no anomalies; compared with version 3; 1 warning in 2 figures"


def test_each_kind_has_its_advice():
    found = [measurement(1.0, kind=kind) for kind in (*Kind, Kind.DRIFT)]
    assert advice(found).count(";") == len(Kind) - 1
