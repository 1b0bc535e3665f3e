import dataclasses
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest

from pipeline.dataset.generated import generate
from tests.benchmarks.machine import machine
from tests.benchmarks.quality import bench, rating_metrics, report
from tests.benchmarks.quality.baseline import FOLDER, ROOT, Baseline
from tests.benchmarks.quality.lead import Lead
from tests.benchmarks.quality.protocols import PROTOCOLS
from tests.benchmarks.quality.results import Judgement, Result, every

# Predicts a constant, notes that it ran, and does what it is told to.
CONSTANT = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(FOLDER)!r})
import numpy as np
from task import run

class Constant:
    def predict(self, questions):
        return np.full(len(questions), stars + seed / 10)
    def parameters(self):
        return [np.zeros(5)]

def fit(pairs, ratings, arguments):
    global stars, seed
    stars, seed = arguments.stars, arguments.seed
    runs = pathlib.Path(__file__).with_name("runs.txt")
    runs.open("a").write(f"{{stars}} {{seed}}\\n")
    if arguments.kill and len(runs.read_text().splitlines()) == 2:
        os.kill(os.getppid(), signal.SIGKILL)
    assert stars, "no stars"
    return Constant()

def options(parser):
    parser.add_argument("--stars", type=float)
    parser.add_argument("--kill", action="store_true")

run(fit, options)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "small"
    generate(folder, ratings=3000, users=60, movies=120, seed=3)
    return folder


@pytest.fixture
def constant(tmp_path):
    path = tmp_path / "constant.py"
    path.write_text(CONSTANT)
    return path


def models(script, *options):
    python = Path(sys.executable)
    return {
        "three": Baseline(script, ("--stars=3",), python),
        "nine": Baseline(script, ("--stars=9", *options), python),
    }


def runs(script):
    return script.with_name("runs.txt").read_text().splitlines()


def results(folder):
    return {
        (found.split, found.model, found.seed): Result.of(
            found, functools.partial(PROTOCOLS[found.split].judge, dataset / "rows" / found.split)
        )
        for dataset in folder.glob("*/")
        for found in every(dataset / "results")
    }


def metrics(result, part="overall"):
    return result.judgements["second"].metrics[part]


def arguments(data, tmp_path, *more):
    return [f"--data={data}", f"--folder={tmp_path / 'bench'}", *more]


def test_a_bench_that_was_killed_goes_on(data, constant, tmp_path):
    told = arguments(data, tmp_path, "--seeds", "0", "1", "--splits", "random")
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from tests.benchmarks.quality import bench, test_bench\n"
            f"bench.main(test_bench.models(Path({str(constant)!r}), '--kill'), {told!r})",
        ],
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    bench_folder = tmp_path / "bench"
    assert list(results(bench_folder)) == [("random", "three", 0)]
    (stopped,) = bench_folder.glob("*/work/*")
    assert stopped.name.startswith("random-nine-0-")

    assert bench.main(models(constant, "--kill"), told) == 0
    assert runs(constant) == ["3.0 0", "9.0 0", "9.0 0", "3.0 1", "9.0 1"]
    assert len(results(bench_folder)) == 4
    assert not list(bench_folder.glob("*/work/*"))


def test_each_is_measured_once_until_it_changes(data, constant, tmp_path, capsys):
    told = arguments(data, tmp_path, "--seeds", "0", "2", "--splits", "time")
    assert bench.main(models(constant), told) == 0
    assert len(runs(constant)) == 4
    found = results(tmp_path / "bench")
    three, nine = (found["time", name, 0] for name in ("three", "nine"))
    assert three.cost["model_bytes"] == 40
    assert metrics(three)["auc"] == 0.5
    # All ratings are below 9 stars, so that the seed adds to each error.
    more = metrics(found["time", "nine", 2])["mae"] - metrics(nine)["mae"]
    assert more == pytest.approx(0.2)
    assert metrics(three)["rows"] == pytest.approx(300, abs=60)

    (page,) = (tmp_path / "bench").glob("*/time.md")
    text = page.read_text()
    mean = (metrics(three)["rmse"] + metrics(found["time", "three", 2])["rmse"]) / 2
    assert f"| three | 0 2 | {mean:.4f} ± " in text
    assert text.index("| three |") < text.index("| nine |")
    assert f'make bench-quality DATA="{data.name}" MODELS="nine three" SPLITS="time" SEEDS="0 2"' in text
    assert f" Machine: {machine()}. Python 3.11." in text
    assert "myfm 0.3.6, scikit-surprise 1.1.5." in text
    assert "![RMSE on the time split against seconds of training](time.svg)" in text
    assert {path.name for path in page.parent.glob("*.*") if path.suffix} == {"time.md", "time.svg"}
    # Matplotlib notes in a comment what a path of letters says.
    assert {"<!-- three -->", "<!-- nine -->"} <= set(
        map(str.strip, page.with_name("time.svg").read_text().splitlines())
    )
    printed = capsys.readouterr().out
    assert "three, time split, seed 2: RMSE " in printed

    assert bench.main(models(constant), told) == 0
    assert len(runs(constant)) == 4
    path = tmp_path / "bench" / page.parent.name / "results" / "time" / "nine" / "seed-2.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    assert bench.main(models(constant), told) == 0
    assert len(runs(constant)) == 5
    constant.write_text(CONSTANT + "# changed\n")
    assert bench.main(models(constant), [*told, "--models", "three"]) == 0
    assert len(runs(constant)) == 7
    assert "| nine |" not in page.read_text()


def test_predictions_are_judged_anew_and_not_made_again(data, constant, tmp_path, monkeypatch):
    told = arguments(data, tmp_path, "--seeds", "0", "--splits", "time", "--models", "three")
    assert bench.main(models(constant), told) == 0
    monkeypatch.setattr(rating_metrics, "HIGH", 9.0)
    assert metrics(results(tmp_path / "bench")["time", "three", 0])["auc"] is None
    assert bench.main(models(constant), told) == 0
    assert len(runs(constant)) == 1
    (page,) = (tmp_path / "bench").glob("*/time.md")
    (row,) = (line for line in page.read_text().splitlines() if line.startswith("| three |"))
    headings = page.read_text().split("| model | seeds")[1].splitlines()[0].split(" | ")
    assert row.split(" | ")[headings.index("AUC") + 1] == "-"


def test_a_model_that_fails_is_named_and_the_others_go_on(data, constant, tmp_path, capsys):
    failing = {"none": Baseline(constant, ("--stars=0",), Path(sys.executable)), **models(constant)}
    told = arguments(data, tmp_path, "--seeds", "0", "--splits", "time", "--models", "none", "three")
    assert bench.main(failing, told) == 1
    printed = capsys.readouterr().out
    log = next((tmp_path / "bench").glob("*/work/time-none-0-*/run.log"))
    assert f"constant.py ended with status 1: AssertionError: no stars; see {log}" in printed
    assert list(results(tmp_path / "bench")) == [("time", "three", 0)]
    (page,) = (tmp_path / "bench").glob("*/time.md")
    page.with_name("served.md").write_text("of a preset that was measured before")
    constant.write_text(CONSTANT + "assert False\n")  # so that no result holds any more, and none is made
    assert bench.main(failing, told) == 1
    assert not [path for path in page.parent.glob("*.*") if path.suffix]


def test_a_slip_is_a_sentence(data, constant, tmp_path, capsys):
    assert bench.main(models(constant), arguments(tmp_path / "none", tmp_path)) == 1
    assert "none does not exist" in capsys.readouterr().err
    few = tmp_path / "few"
    shutil.copytree(data, few)
    (few / "ratings.dat").write_text("".join((data / "ratings.dat").open().readlines()[:3]))
    assert bench.main(models(constant), arguments(few, tmp_path, "--splits", "random")) == 1
    assert "no random split: the " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (["--seeds", "-1"], "a seed is a whole number from 0 on, got '-1'"),
        (
            ["--models", "ease", "--splits", "random", "time"],
            "ease rate no movies, so that the split is last",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(data, tmp_path, capsys, told, message):
    rankers = {"ease": Baseline(FOLDER / "ease.py", (), Path(sys.executable))}
    with pytest.raises(SystemExit):
        bench.main(rankers, arguments(data, tmp_path, *told))
    assert message in capsys.readouterr().err
    assert not (tmp_path / "bench").exists()


def test_a_bench_does_not_go_on_with_edited_code(data, constant, tmp_path, capsys, monkeypatch):
    answer = Baseline.answer

    def edited(model, task):
        answers = answer(model, task)
        constant.write_text(CONSTANT + "# changed\n")
        return answers

    monkeypatch.setattr(Baseline, "answer", edited)
    told = arguments(data, tmp_path, "--seeds", "0", "--splits", "time")
    assert bench.main(models(constant), told) == 1
    assert "nine, time split, seed 0: its code was edited since the bench began" in capsys.readouterr().out
    assert runs(constant) == ["3.0 0"]


def test_two_benches_do_not_share_a_folder(data, constant, tmp_path, capsys):
    told = arguments(data, tmp_path, "--seeds", "0", "--splits", "random")
    assert bench.main(models(constant), told) == 0
    (folder,) = (tmp_path / "bench").glob("generated-*")
    with filelock.FileLock(folder / ".lock"):
        assert bench.main(models(constant), told) == 3
    assert f"another bench works in {folder}; wait for it to end" in capsys.readouterr().err


def test_damped_biases_are_ahead_of_a_constant(data, tmp_path):
    biases = {"bias": Baseline(FOLDER / "damped_bias.py", (), Path(sys.executable))}
    assert bench.main(biases, arguments(data, tmp_path, "--seeds", "0", "--splits", "random")) == 0
    overall = metrics(results(tmp_path / "bench")["random", "bias", 0])
    assert overall["rmse"] < 0.95  # the best constant has 1.085
    assert overall["auc"] > 0.7


def test_orders_are_measured_beside_ratings(data, constant, tmp_path):
    python = Path(sys.executable)
    rankers = {name: Baseline(FOLDER / f"{name}.py", (), python) for name in ("popularity", "ease")}
    told = arguments(data, tmp_path, "--seeds", "0", "--splits", "random", "last")
    assert bench.main({**models(constant), **rankers}, told) == 0
    found = results(tmp_path / "bench")
    assert {key[:2] for key in found} == {
        *(("random", name) for name in ("three", "nine")),
        *(("last", name) for name in ("three", "nine", "popularity", "ease")),
    }
    recall = {name: metrics(found["last", name, 0])["recall_10"] for name in (*rankers, "three")}
    assert recall["three"] == 0
    assert min(recall["popularity"], recall["ease"]) > 0.1
    (folder,) = (tmp_path / "bench").glob("generated-*")
    assert (folder / "random.md").read_text().startswith("# Random split, ")
    assert "| three | 0 | 0.0000 |" in (folder / "last.md").read_text()


def test_the_learning_curve_has_the_test_rows_of_the_random_split(data, tmp_path):
    biases = {"bias": Baseline(FOLDER / "damped_bias.py", (), Path(sys.executable))}
    assert bench.main(biases, arguments(data, tmp_path, "--seeds", "0", "--splits", "size")) == 0
    found = results(tmp_path / "bench")
    assert [key[0] for key in sorted(found, key=lambda key: found[key].fitted_on)] == [
        *(f"size-{percent}" for percent in (10, 20, 40, 60, 80)),
        "random",
    ]
    whole, least = (found[split, "bias", 0] for split in ("random", "size-10"))
    assert least.fitted_on == pytest.approx(whole.fitted_on / 10, rel=0.2)
    assert {metrics(result)["rows"] for result in found.values()} == {metrics(whole)["rows"]}
    assert metrics(whole)["rmse"] < metrics(least)["rmse"]
    assert metrics(whole, "cold users")["rows"] < metrics(least, "cold users")["rows"]

    (page,) = (tmp_path / "bench").glob("*/size.md")
    assert not page.with_name("random.md").exists()
    rmse = [metrics(found[key])["rmse"] for key in sorted(found, key=lambda key: found[key].fitted_on)]
    assert "| model | seeds | 10% | 20% | 40% | 60% | 80% | 100% |" in page.read_text()
    assert f"| bias | 0 | {' | '.join(f'{value:.4f}' for value in rmse)} |" in page.read_text()
    assert 'make bench-quality DATA="small" MODELS="bias" SPLITS="size" SEEDS="0"' in page.read_text()
    assert "<!-- ratings to fit -->" in page.with_name("size.svg").read_text()
    # A later call for other splits leaves the page as it was.
    text = page.read_text()
    assert bench.main(biases, arguments(data, tmp_path, "--seeds", "1", "--splits", "random")) == 0
    assert page.read_text() == text
    assert "| bias | 0 1 |" in page.with_name("random.md").read_text()


def judgement(rmse):
    told = {"rmse": rmse, "mae": 0.7, "auc": None, "auc_without_3": None}
    counts = {"overall": (10, 7), "cold users": (5, 2), "cold movies": (3, 1)}
    return Judgement({part: {"rows": n, "ids": of, **told} for part, (n, of) in counts.items()}, np.zeros(0))


def of_model(name, *, seconds=1.0, rmse=0.9, **more):
    """A result on the random split."""
    told = {
        "split": "random",
        "seed": 0,
        "judgements": {"second": judgement(rmse)},
        "cost": {"train_seconds": seconds, "model_bytes": 1, "predict_ms": 1},
        "fitted_on": 1000,
        "machine": "",
        "largest_difference": None,
    }
    return Result(model=name, **(told | more))


def page_text(results, split="random", leads=None, data=None):
    """The page of a split."""
    (page,) = report.Report("data", data, results).pages([split], {split: leads or {}})
    return page.text


def test_names_in_a_plot_do_not_overlap(monkeypatch):
    placed = []
    monkeypatch.setattr(report, "_svg", placed.append)
    # Half of them are close together at the right.
    models = {
        name: [of_model(name, seconds=seconds, rmse=0.85 + place / 2000)]
        for place, (name, seconds) in enumerate(
            (f"{whose}-number-{place}", 100.0 + place if place % 2 else 0.01 * 3**place)
            for place in range(8)
            for whose in ("deepfm", "other")
        )
    }
    report.accuracy_plot("random", models)
    (figure,) = placed
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 16
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(figure.bbox.containsx(x) for box in boxes for x in (box.x0, box.x1))
    colors = {text.get_color() for text in figure.axes[0].texts if text.get_text().startswith("deepfm-")}
    assert len(colors) == 1
    assert len({text.get_color() for text in figure.axes[0].texts if text.get_text()}) == 2


def test_what_is_served_is_on_the_page():
    results = [
        of_model("deepfm-best", seed=seed, largest_difference=difference)
        for seed, difference in enumerate((2.4e-7, 7.2e-6, 4e-7))
    ]
    whole = report.Report("data", None, [*results, of_model("svd")])
    of_split, served = whole.pages(["random"], {"random": {}})
    assert (of_split.name, served.name) == ("random", "served")
    assert 'make bench-quality MODELS="deepfm-best" SPLITS="random" SEEDS="0 1 2"' in served.text
    assert "on 1,000 raw test rows" in served.text
    assert served.text.endswith("---:|\n| deepfm-best | 3 | 7e-06 |\n")


def test_a_version_on_two_pages_is_counted_once():
    share = of_model("deepfm-best", split="size-10", largest_difference=3e-7)
    whole = report.Report("data", None, [share, of_model("deepfm-best", largest_difference=2e-7)])
    *_, served = whole.pages(["random", "size"], {"random": {}})
    assert served.text.endswith("---:|\n| deepfm-best | 2 | 3e-07 |\n")


def test_the_page_counts_rows_and_whose_they_are():
    results = [of_model("svd"), of_model("deepfm-notebook", fitted_on=900)]
    assert (
        "1,000 ratings to fit, 900 for deepfm-notebook, which validate by the others; 10 test rows of "
        "7 users; of the rows, 5 of 2 cold users and 3 of 1 cold movies."
    ) in page_text(results)


def test_the_page_has_a_command_for_each_set_of_models_and_seeds():
    results = [
        of_model(name, split=split, seed=seed)
        for name, split, seeds in (
            ("svd", "random", (1, 0)),
            ("bias", "random", (0, 1)),
            ("bias", "time", (0, 1)),
            ("svd", "time", (1, 0)),
            ("deepfm-best", "time", (2,)),
            ("svd", "size-10", (0,)),
        )
        for seed in seeds
    ]
    told = {
        split: page_text(results, split, data="my/ml.zip").split("```sh\n")[1].split("\n```")[0].splitlines()
        for split in ("random", "time", "size")
    }
    assert told == {
        "random": ['make bench-quality DATA="ml.zip" MODELS="bias svd" SPLITS="random" SEEDS="0 1"'],
        "time": [
            'make bench-quality DATA="ml.zip" MODELS="bias svd" SPLITS="time" SEEDS="0 1"',
            'make bench-quality DATA="ml.zip" MODELS="deepfm-best" SPLITS="time" SEEDS="2"',
        ],
        "size": ['make bench-quality DATA="ml.zip" MODELS="svd" SPLITS="size" SEEDS="0"'],
    }


def test_a_curve_ends_with_the_seeds_that_it_began_with():
    results = [
        of_model("svd", split="size-10", rmse=0.9),
        of_model("svd", rmse=0.8),
        of_model("svd", rmse=0.7, seed=1),
        of_model("bias"),
    ]
    sheet = report.curve_sheet(report.by_size(results))
    assert sheet.headings == ["model", "seeds", "10%", "100%"]
    assert sheet.rows == [["svd", "0", "0.9000", "0.8000"]]


def test_a_curve_says_where_seeds_are_missing():
    results = [
        of_model("svd", seed=seed, split=split, rmse=rmse)
        for split, seed, rmse in (
            ("size-10", 1, 0.9),
            ("size-20", 0, 0.85),
            ("size-20", 1, 0.87),
            ("random", 0, 0.8),
        )
    ]
    (row,) = report.curve_sheet(report.by_size(results)).rows
    assert row == ["svd", "0 1", "0.9000 (1 of 2 seeds)", "0.8600 ± 0.0141", "0.8000 (1 of 2 seeds)"]


def test_errors_without_a_moment_stand_beside_those_with_one():
    told = of_model("deepfm-best", judgements={"second": judgement(0.81), "no_moment": judgement(0.8238)})
    headings, *rows = report.split_sheet(
        "random", {"deepfm-best": [told], "svd": [of_model("svd")]}
    ).markdown()
    place = headings.split(" | ").index("RMSE, no moment")
    assert [row.split(" | ")[place] for row in rows[1:]] == ["0.8238", "-"]


def test_times_of_several_machines_are_told_apart():
    results = [of_model("svd"), dataclasses.replace(of_model("ease"), machine="1 core")]
    assert "Times are of different machines:  (svd); 1 core (ease). Python" in page_text(results)


def test_the_lead_of_the_best_is_on_the_page():
    ahead = {"svd": {"overall": Lead(0.01234, 0.011, 0.0136), "cold users": None}}
    page = page_text([of_model("best", rmse=0.8), of_model("svd")], leads=ahead)
    assert "## Lead of best\n" in page
    assert "By how much the RMSE of the others is higher, " in page
    assert "| svd | 0.0123 (0.0110 to 0.0136) | - |\n" in page
    assert "No moment:" not in page


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("svd", "as before.\n"),
        ("myfm-day", "as before. Those of myFM that use the day have it.\n"),
        (
            "ease-recent",
            "as before. `ease-recent` goes on where the user was, though presets are asked for a",
        ),
    ],
)
def test_a_lead_without_a_moment_says_what_the_other_is_told(other, told):
    ahead = {other: {"overall": None, "overall, no moment": Lead(0.01, 0.0, 0.02)}}
    assert told in page_text([of_model("best", rmse=0.8), of_model(other)], leads=ahead)


def test_a_lead_of_nothing_has_no_sign():
    assert str(Lead(-0.00004, -0.00123, 0.0008)) == "0.0000 (-0.0012 to 0.0008)"


def test_a_column_is_mean_and_spread():
    column = report.Column("stars", lambda result: result, 2)
    assert column.text([0.5]) == "0.50"
    assert column.text([1.0, 2.0, 3.0, None]) == "2.00 ± 1.00"
    assert column.text([1.0, 2.0, 3.0], spread=False) == "2.00"
    assert column.text([2.001, 2.0]) == "2.00"
    assert column.text([None]) == "-"


def test_a_time_is_the_least():
    column = report.Time("s", lambda result: result, 1)
    assert column.text([3.0, 1.5, None, 2.0]) == "1.5"
    assert column.text([None]) == "-"


def test_make_passes_every_option_on():
    given = ["DATA=a b", "MODELS=svd myfm", "SPLITS=time", "SEEDS=3 4"]
    ready = [f"--old-file={path}" for path in (".venv/.ready", ".cache/quality/baselines/.ready")]
    printed = subprocess.run(
        ["make", "--no-print-directory", "-n", *ready, "bench-quality", *given],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert " ".join(printed.replace("\\", "").split()).endswith(
        '-m tests.benchmarks.quality.bench --data "a b" --models svd myfm --splits time --seeds 3 4'
    )
