"""The results as tables, on the terminal and in Markdown, and as a plot of accuracy against training time."""

import collections
import dataclasses
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from components.model_report import style
from serving import versions
from tests.benchmarks.quality import metrics, order
from tests.benchmarks.quality.results import Result
from tests.benchmarks.quality.trials import LAST, SLICES, TRIALS

PAGE, PLOT = "report.md", "accuracy.svg"

_MEGABYTE = 1e6


@dataclasses.dataclass(frozen=True)
class Column:
    """One figure: its heading, where it stands in a result, and its decimals."""

    heading: str
    figure: Callable[[Result], Any]
    decimals: int

    def text(self, results: Iterable[Result]) -> str:
        """Return the mean over the seeds, with the standard deviation where there are several."""
        values = [value for result in results if (value := self.figure(result)) is not None]
        if not values:
            return "-"
        mean = f"{np.mean(values):,.{self.decimals}f}"
        return f"{mean} ± {np.std(values, ddof=1):,.{self.decimals}f}" if len(values) > 1 else mean


def _metric(metric: str, part: str = metrics.OVERALL) -> Callable[[Result], Any]:
    return lambda result: result.metrics[part][metric]


TRAINING = Column("s training", lambda result: result.cost["train_seconds"], 1)
COSTS = (
    TRAINING,
    Column("MB", lambda result: result.cost["model_bytes"] / _MEGABYTE, 1),
    Column("ms a 1,000", lambda result: result.cost["predict_ms"], 1),
)
RATINGS = (
    Column("RMSE", _metric(metrics.RMSE), 4),
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


def columns(split: str) -> tuple[Column, ...]:
    """Return the columns of a split; by the first one models are compared."""
    return ORDER if split == LAST else RATINGS


def first_figure(result: Result) -> str:
    """Return the figure by which models are compared, in words."""
    first = columns(result.split)[0]
    return f"{first.heading} {first.text([result])}"


def by_split(results: Iterable[Result]) -> dict[str, Models]:
    """Group results by split and model, the best model of a split first."""
    groups: dict[str, Models] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        groups[result.split][result.model].append(result)
    return {split: _sorted(split, groups[split]) for split in TRIALS if split in groups}


def _sorted(split: str, models: Models) -> Models:
    """Return the models in order: RMSE upwards, NDCG downwards."""
    means = {name: np.mean([columns(split)[0].figure(result) for result in models[name]]) for name in models}
    return {name: models[name] for name in sorted(means, key=means.__getitem__, reverse=split == LAST)}


def table(split: str, models: Models) -> Table:
    """Return the table of a split for the terminal."""
    drawn = Table("model", "seeds", *(column.heading for column in columns(split)), title=f"{split} split")
    for column in drawn.columns[1:]:
        column.justify = "right"
    for model, results in models.items():
        drawn.add_row(model, str(len(results)), *(column.text(results) for column in columns(split)))
    return drawn


def write(folder: Path, title: str, splits: dict[str, Models]) -> None:
    """Write the page and the plot, each whole or not at all."""
    lines = [f"# {title}", ""]
    for split, models in splits.items():
        parts = next(iter(models.values()))[0].metrics
        counts = ", ".join(f"{part} {values[metrics.ROWS]:,}" for part, values in parts.items())
        lines += [f"## {split} split", "", f"{'Users' if split == LAST else 'Test rows'}: {counts}.", ""]
        lines += [
            "| " + " | ".join(["model", "seeds", *(column.heading for column in columns(split))]) + " |",
            "|---|" + "---:|" * (1 + len(columns(split))),
        ]
        for model, results in models.items():
            cells = [model, str(len(results)), *(column.text(results) for column in columns(split))]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    lines += [f"![Accuracy against seconds of training]({PLOT})", ""]
    versions.replace(folder / PLOT, plot(splits))
    versions.replace(folder / PAGE, "\n".join(lines))


def plot(splits: dict[str, Models]) -> str:
    """Return an SVG of accuracy against seconds of training, means over seeds, a panel for each split."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure((5.5 * len(splits), 4.0), layout="constrained")
        for axes, (split, models) in zip(
            figure.subplots(1, len(splits), squeeze=False)[0], splits.items(), strict=True
        ):
            first = columns(split)[0]
            for model, results in models.items():
                point = [np.mean([column.figure(r) for r in results]) for column in (TRAINING, first)]
                axes.plot(*point, "o")
                axes.annotate(model, point, (4, 4), textcoords="offset points")
            axes.set(title=f"{split} split", xlabel="seconds of training", ylabel=first.heading, xscale="log")
            axes.margins(0.3, 0.15)  # room for the names
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
