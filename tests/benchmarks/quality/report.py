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
from schema import features
from serving import versions
from tests.benchmarks.quality import metrics
from tests.benchmarks.quality.results import Result

SLICES = {"cold users": features.USER_ACTIVITY, "cold movies": features.MOVIE_ACTIVITY}
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


RMSE = Column("RMSE", _metric(metrics.RMSE), 4)
TRAINING = Column("s training", lambda result: result.cost["train_seconds"], 1)
COLUMNS = (
    RMSE,
    *(Column(part, _metric(metrics.RMSE, part), 4) for part in SLICES),
    Column("MAE", _metric(metrics.MAE), 4),
    Column("AUC", _metric(metrics.AUC), 4),
    Column("AUC, no 3", _metric(metrics.AUC_WITHOUT_3), 4),
    TRAINING,
    Column("MB", lambda result: result.cost["model_bytes"] / _MEGABYTE, 1),
    Column("ms a 1,000", lambda result: result.cost["predict_ms"], 1),
)

Models = dict[str, list[Result]]


def by_split(results: Iterable[Result]) -> dict[str, Models]:
    """Group results by split and model, the models of a split by their mean RMSE, the best first."""
    groups: dict[str, Models] = collections.defaultdict(lambda: collections.defaultdict(list))
    for result in results:
        groups[result.split][result.model].append(result)
    return {
        split: dict(sorted(models.items(), key=lambda item: np.mean([RMSE.figure(r) for r in item[1]])))
        for split, models in groups.items()
    }


def table(split: str, models: Models) -> Table:
    """Return the table of a split for the terminal."""
    drawn = Table("model", "seeds", *(column.heading for column in COLUMNS), title=f"{split} split")
    for column in drawn.columns[1:]:
        column.justify = "right"
    for model, results in models.items():
        drawn.add_row(model, str(len(results)), *(column.text(results) for column in COLUMNS))
    return drawn


def write(folder: Path, title: str, splits: dict[str, Models]) -> None:
    """Write the page and the plot, each whole or not at all."""
    lines = [f"# {title}", ""]
    for split, models in splits.items():
        parts = next(iter(models.values()))[0].metrics
        counts = ", ".join(f"{part} {parts[part][metrics.ROWS]:,}" for part in (metrics.OVERALL, *SLICES))
        lines += [f"## {split} split", "", f"Test rows: {counts}.", ""]
        lines += [
            "| " + " | ".join(["model", "seeds", *(column.heading for column in COLUMNS)]) + " |",
            "|---|" + "---:|" * (1 + len(COLUMNS)),
        ]
        for model, results in models.items():
            cells = [model, str(len(results)), *(column.text(results) for column in COLUMNS)]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    lines += [f"![RMSE against seconds of training]({PLOT})", ""]
    versions.replace(folder / PLOT, plot(splits))
    versions.replace(folder / PAGE, "\n".join(lines))


def plot(splits: dict[str, Models]) -> str:
    """Return an SVG of RMSE against seconds of training, means over the seeds, a panel for each split."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure((5.5 * len(splits), 4.0), layout="constrained")
        for axes, (split, models) in zip(
            figure.subplots(1, len(splits), squeeze=False)[0], splits.items(), strict=True
        ):
            for model, results in models.items():
                seconds, rmse = (np.mean([c.figure(r) for r in results]) for c in (TRAINING, RMSE))
                axes.plot(seconds, rmse, "o")
                axes.annotate(model, (seconds, rmse), (4, 4), textcoords="offset points")
            axes.set(title=f"{split} split", xlabel="seconds of training", ylabel="test RMSE", xscale="log")
            axes.margins(0.15)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
