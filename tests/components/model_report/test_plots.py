import dataclasses
import itertools
import math
import re
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from components.evaluator.results import SliceMetrics
from components.model_report import plots
from components.model_report.findings import Rejection
from components.model_report.labels import LabelledSlice, SliceGroup, grouped
from components.trainer.history import EPOCH, SWEEP, History, Step

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def place(svg, text):
    (element,) = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}text") if e.text == text]
    return float(element.get("x")), float(element.get("y"))


def test_learning_curves_mark_the_best_epoch_and_the_floor(findings):
    svg = plots.learning_curves(findings.history, 0.8432)
    assert {"training", "validation", "noise floor 0.8432", "best: 0.8612 in epoch 2"} <= set(texts(svg))
    assert not any("floor" in text for text in texts(plots.learning_curves(findings.history, None)))


def test_of_sweeps_the_last_is_marked(findings):
    sweeps = dataclasses.replace(findings.history, unit=SWEEP)
    svg = plots.learning_curves(sweeps, None)
    assert {"sweep", "last: 0.8650 in sweep 3"} <= set(texts(svg))


def test_one_epoch_is_enough():
    step = Step(number=1, train_rmse=0.9, validation_rmse=0.9, validation_mae=0.7)
    svg = plots.learning_curves(History(unit=EPOCH, steps=(step,)), 0.9)
    heights = sorted(place(svg, text)[1] for text in ("training", "validation", "noise floor 0.9000"))
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9, "labels lie on each other"


def test_every_slice_has_its_label_and_rows_in_order(findings):
    gender, age = plots.slices(findings.groups, findings.evaluation.overall)
    assert place(gender, "male")[1] < place(gender, "female")[1]
    assert place(age, "under 18")[1] < place(age, "25 to 34")[1]
    assert place(age, "under 18")[1] == pytest.approx(place(age, "2,711")[1], abs=0.1)
    assert place(age, "25 to 34")[1] == pytest.approx(place(age, "39,425")[1], abs=0.1)
    scale = [text for text in texts(gender) if re.fullmatch(r"\d\.\d+", text)]
    assert scale == [text for text in texts(age) if re.fullmatch(r"\d\.\d+", text)]


def test_the_served_model_is_drawn_where_there_is_one(findings):
    overall = findings.evaluation.overall
    with_baseline = plots.slices(findings.groups, overall)[0]
    unrelated = [
        SliceGroup(g.title, tuple(LabelledSlice(r.label, without_baseline(r.metrics)) for r in g.rows))
        for g in findings.groups
    ]
    assert "var(--second)" in with_baseline
    assert "var(--second)" not in plots.slices(unrelated, overall)[0]


def test_a_model_that_predicts_no_number_is_drawn_where_it_predicts_one(findings):
    female, *others = findings.evaluation.slices
    nan = dataclasses.replace(female, rmse=math.nan, calibration=math.nan, baseline_rmse=None)
    gender, age = plots.slices(grouped([nan, *others]), nan)
    assert {"male", "female"} <= set(texts(gender))
    assert texts(age) == texts(plots.slices(grouped(others), others[0])[1])  # the scale too
    (alone,) = plots.slices(grouped([nan]), nan)
    assert "female" in texts(alone)


def without_baseline(metrics):
    return SliceMetrics(**{**vars(metrics), "baseline_rmse": None})


def test_text_from_data_is_text(findings):
    metrics = findings.evaluation.slices[0]
    label = "<b>$x_1$&'\"</b>"
    (svg,) = plots.slices([SliceGroup("Genres", (LabelledSlice(label, metrics),))], metrics)
    assert label in texts(svg)
    (svg,) = plots.slices([SliceGroup("Genres", (LabelledSlice("x" * 80, metrics),))], metrics)
    assert "x" * 26 + "…" in texts(svg)


def test_rejections_show_file_reason_and_rows():
    svg = plots.rejections(
        [Rejection("ratings.dat", "bad_rating", 1200), Rejection("users.dat", "header", 1)]
    )
    assert place(svg, "ratings.dat: bad_rating")[1] < place(svg, "users.dat: header")[1]
    assert "1,200" in texts(svg)


def test_plots_can_stand_in_one_page(findings):
    svgs = [
        plots.learning_curves(findings.history, 0.8432),
        *plots.slices(findings.groups, findings.evaluation.overall),
        plots.rejections(findings.rejections),
    ]
    page = "".join(map(str, svgs))
    referred = set(re.findall(r'(?:url\(|href=")#(\w+)', page))
    assert referred == set(re.findall(r' id="([^"]*)"', page))
    colours = {colour for colour in re.findall(r"(?:fill|stroke): ([^;\"]+)", page)}
    assert colours == {"none", *(f"var(--{name})" for name in ("ink", "muted", "grid", "first", "second"))}
    assert "font-family" not in page


def test_drawing_leaves_no_trace(findings):
    before = dict(mpl.rcParams)
    first = plots.learning_curves(findings.history, None)
    assert dict(mpl.rcParams) == before
    assert plots.learning_curves(findings.history, None) == first


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 1.0], [0.0, 1.0]), ([1.0, 0.95, 0.9], [1.1, 1.0, 0.9]), ([0.5, 0.5], [0.5, 0.6])],
)
def test_spread(values, expected):
    assert plots._spread(values, 0.1) == pytest.approx(expected)
