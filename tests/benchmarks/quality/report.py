"""The results as tables, on the terminal and in Markdown, and as plots.

Of each split there are a table and a plot of accuracy against training time; of the learning curve, a table
and a plot of accuracy against the number of training ratings.
"""

import collections
import dataclasses
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import adjustText
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from components.model_report import style
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from serving import versions
from tests.benchmarks.quality import metrics, order
from tests.benchmarks.quality.results import Result
from tests.benchmarks.quality.trials import LAST, SHARES, SIZE, SLICES, TRIALS

PAGE, CURVE = "report.md", "learning-curve.svg"
PLOTS = {split: f"accuracy-{split}.svg" for split in TRIALS if split not in SHARES}

_MEGABYTE = 1e6
_MARKERS = "osD^vP*X"


@dataclasses.dataclass(frozen=True)
class Column:
    """One figure: its heading, where it stands in a result, and its decimals."""

    heading: str
    figure: Callable[[Result], Any]
    decimals: int

    def mean(self, results: Iterable[Result]) -> float:
        """Return the mean over the seeds."""
        return float(np.mean([self.figure(result) for result in results]))

    def text(self, results: Iterable[Result]) -> str:
        """Return the mean over the seeds, with the standard deviation where there are several."""
        values = [value for result in results if (value := self.figure(result)) is not None]
        if not values:
            return "-"
        mean = f"{np.mean(values):,.{self.decimals}f}"
        return f"{mean} ± {np.std(values, ddof=1):,.{self.decimals}f}" if len(values) > 1 else mean


def _metric(metric: str, part: str = metrics.OVERALL) -> Callable[[Result], Any]:
    return lambda result: result.metrics[part][metric]


RMSE = Column("RMSE", _metric(metrics.RMSE), 4)
TRAINING = Column("s training", lambda result: result.cost["train_seconds"], 1)
COSTS = (
    TRAINING,
    Column("MB", lambda result: result.cost["model_bytes"] / _MEGABYTE, 1),
    Column("ms a 1,000", lambda result: result.cost["predict_ms"], 1),
)
RATINGS = (
    RMSE,
    *(Column(part, _metric(metrics.RMSE, part), 4) for part in SLICES),
    Column("MAE", _metric(metrics.MAE), 4),
    Column("AUC", _metric(metrics.AUC), 4),
    Column("AUC, no 3", _metric(metrics.AUC_WITHOUT_3), 4),
    *COSTS,
)
ORDER = (
    Column(f"NDCG@{order.TOP}", _metric(order.NDCG), 4),
    Column(f"recall@{order.TOP}", _metric(order.RECALL), 4),
    *COSTS,
)

Models = dict[str, list[Result]]
Curve = dict[str, dict[int, list[Result]]]  # by model and by ratings fitted on, fewest first


def columns(split: str) -> tuple[Column, ...]:
    """Return the columns of a split; by the first one models are compared."""
    return ORDER if split == LAST else RATINGS


def first_figure(result: Result) -> str:
    """Return the figure by which models are compared, in words."""
    first = columns(result.split)[0]
    return f"{first.heading} {first.text([result])}"


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One table: its title, its headings and its rows."""

    title: str
    headings: list[str]
    rows: list[list[str]]

    def drawn(self) -> Table:
        """Return the table for the terminal."""
        table = Table(*self.headings, title=self.title)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> list[str]:
        """Return the lines of the table, without its title."""
        rule = "|---|" + "---:|" * (len(self.headings) - 1)
        return [_line(self.headings), rule, *map(_line, self.rows)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


class Report:
    """All that was measured on one dataset.

    Args:
      title: names the dataset.
      data: what the bench was told of it; None if nothing.
      results: one at least.
    """

    def __init__(self, title: str, data: str | None, results: list[Result]) -> None:
        self._title = title
        self._data = data
        self._results = results
        self._splits = by_split(results)
        self._curve = by_size(results)

    def sheets(self) -> list[Sheet]:
        """Return the tables: one for each split, then that of the learning curve."""
        sheets = [split_sheet(split, models) for split, models in self._splits.items()]
        return [*sheets, curve_sheet(self._curve)] if self._curve else sheets

    def write(self, folder: Path) -> None:
        """Write the page and the plots, each whole or not at all."""
        for split, models in self._splits.items():
            versions.replace(folder / PLOTS[split], accuracy_plot(split, models))
        if self._curve:
            versions.replace(folder / CURVE, curve_plot(self._curve))
        versions.replace(folder / PAGE, self.page())

    def page(self) -> str:
        """Return the page, in Markdown."""
        machines = " and ".join(sorted({result.machine for result in self._results}))
        lines = [f"# Quality on {self._title}", "", "```sh", self._command(), "```", ""]
        lines += [
            "Means over the seeds of training, ± their standard deviation; the rows are the same for all. "
            "Columns of cold users and movies, which have fewer than "
            f"{ExampleGenConfig().cold_below} ratings to fit, are the RMSE of their rows. "
            f"Seconds and milliseconds are of a machine with {machines}.",
            "",
        ]
        for split, models in self._splits.items():
            sheet, result = split_sheet(split, models), next(iter(models.values()))[0]
            counts = ", ".join(f"{part} {values[metrics.ROWS]:,}" for part, values in result.metrics.items())
            asked = "Users" if split == LAST else "Test rows"
            lines += [f"## {sheet.title}", "", f"{result.fitted_on:,} ratings to fit. {asked}: {counts}.", ""]
            lines += [*sheet.markdown(), "", f"![Accuracy against seconds of training]({PLOTS[split]})", ""]
        if self._curve:
            sheet = curve_sheet(self._curve)
            lines += [f"## {sheet.title}", "", "RMSE on the test rows of the random split.", ""]
            lines += [*sheet.markdown(), "", f"![RMSE against ratings to fit]({CURVE})", ""]
        return "\n".join(lines)

    def _command(self) -> str:
        """Return what measures all of it."""
        splits = [*self._splits, *([SIZE] if self._curve else [])]
        told = {
            "DATA": [Path(self._data).name] if self._data else [],
            "MODELS": sorted({result.model for result in self._results}),
            "SPLITS": splits,
            "SEEDS": sorted({result.seed for result in self._results}),
        }
        words = (f'{name}="{" ".join(map(str, values))}"' for name, values in told.items() if values)
        return " ".join(["make bench-quality", *words])


def by_split(results: Iterable[Result]) -> dict[str, Models]:
    """Group results by split and model, the best model of a split first; those of the shares are left out."""
    groups: dict[str, Models] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        groups[result.split][result.model].append(result)
    return {split: _sorted(split, groups[split]) for split in PLOTS if split in groups}


def _sorted(split: str, models: Models) -> Models:
    """Return the models in order: RMSE upwards, NDCG downwards."""
    first = columns(split)[0]
    means = {name: first.mean(results) for name, results in models.items()}
    return {name: models[name] for name in sorted(means, key=means.__getitem__, reverse=split == LAST)}


def by_size(results: Iterable[Result]) -> Curve:
    """Group results of models that were fitted on shares, by model and size; the best at the end first."""
    on_curve = [result for result in results if result.split in {*SHARES, SplitMethod.RANDOM}]
    groups: Curve = {
        name: collections.defaultdict(list)
        for name in sorted({result.model for result in on_curve if result.split in SHARES})
    }
    for result in sorted(on_curve, key=lambda result: result.fitted_on):
        if result.model in groups:
            groups[result.model][result.fitted_on].append(result)
    return dict(sorted(groups.items(), key=lambda item: RMSE.mean(item[1][max(item[1])])))


def split_sheet(split: str, models: Models) -> Sheet:
    """Return the table of a split."""
    headings = ["model", "seeds", *(column.heading for column in columns(split))]
    rows = [
        [
            model,
            " ".join(str(result.seed) for result in sorted(results, key=lambda result: result.seed)),
            *(column.text(results) for column in columns(split)),
        ]
        for model, results in models.items()
    ]
    return Sheet(f"{split} split", headings, rows)


def curve_sheet(curve: Curve) -> Sheet:
    """Return the table of the learning curve."""
    sizes = sorted({size for of_model in curve.values() for size in of_model})
    rows = [
        [model, *(RMSE.text(of_model.get(size, [])) for size in sizes)] for model, of_model in curve.items()
    ]
    return Sheet("Learning curve", ["model", *(f"{size:,}" for size in sizes)], rows)


def accuracy_plot(split: str, models: Models) -> str:
    """Return an SVG of accuracy against seconds of training, means over the seeds, a point for each model."""
    first = columns(split)[0]
    points = {name: (TRAINING.mean(results), first.mean(results)) for name, results in models.items()}
    with mpl.rc_context(style.SETTINGS):
        figure = _figure()
        axes = figure.subplots()
        x, y = np.array(list(points.values())).T
        axes.scatter(x, y, zorder=2)
        axes.set(title=f"{split} split", xlabel="seconds of training", ylabel=first.heading, xscale="log")
        axes.margins(0.15, 0.1)  # room for the names
        figure.draw_without_rendering()  # the names are placed where the axes will be
        figure.set_layout_engine("none")
        names = [axes.text(*point, name) for name, point in points.items()]
        adjustText.adjust_text(
            names, x, y, ax=axes, expand=(1.15, 1.3), arrowprops={"arrowstyle": "-", "color": "gray"}
        )
        return _svg(figure)


def curve_plot(curve: Curve) -> str:
    """Return an SVG of RMSE against the number of ratings to fit, means over the seeds, a line a model."""
    with mpl.rc_context(style.SETTINGS):
        figure = _figure()
        axes = figure.subplots()
        for place, (model, of_model) in enumerate(curve.items()):
            rmse = [RMSE.mean(results) for results in of_model.values()]
            axes.plot(list(of_model), rmse, marker=_MARKERS[place % len(_MARKERS)], label=model)
        axes.set(title="Learning curve", xlabel="ratings to fit", ylabel=RMSE.heading)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(loc="outside right upper", frameon=False, reverse=True)
        return _svg(figure)


def _figure() -> Figure:
    figure = Figure((8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)  # which measures text
    return figure


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
