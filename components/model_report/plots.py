"""The plots of a report, as SVG that takes its colours from the page.

Drawn on `matplotlib.figure.Figure` without pyplot, whose figures are global. Colours are placeholders
while matplotlib draws, and CSS variables afterwards, so that one drawing fits light and dark pages.
"""

import io
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from components.evaluator.results import SliceMetrics
from components.model_report import style
from components.model_report.findings import Rejection
from components.model_report.labels import LabelledSlice, SliceGroup
from components.trainer.history import EPOCH, History

_INK, _MUTED, _GRID, _FIRST, _SECOND = "#000001", "#000002", "#000003", "#000004", "#000005"
_CSS_COLOURS: Final = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--grid)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
_WIDTH: Final = 9.5  # inches, as every length below
_ROW: Final = 0.235
_HEAD: Final = 0.34
_FOOT: Final = 0.34
_LABELS_RIGHT: Final = 1.95
_RMSE: Final = (2.05, 3.55)  # left end and width of the panel
_CALIBRATION: Final = (5.9, 2.3)
_ROWS_RIGHT: Final = 9.3
_REASON_RIGHT: Final = 3.3
_REJECTED: Final = (3.4, 5.2)
_CHARACTERS: Final = 14.0  # of a label, at most, on an inch
_STEPS: Final = (1, 2, 5, 10)  # between ticks, times a power of ten
_SMALLEST_CALIBRATION_SPAN: Final = 0.05  # so that a deviation of nothing looks like nothing
_SETTINGS: Final[dict[Any, Any]] = {
    **style.SETTINGS,
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _MUTED,
    "axes.titlesize": 9.0,
    "axes.facecolor": "none",
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.color": _GRID,
    "ytick.labelcolor": _MUTED,
}


def learning_curves(history: History, noise_floor: float | None) -> Markup:
    """Draw training and validation RMSE by epoch or sweep, the kept one marked."""
    with mpl.rc_context(_SETTINGS):
        height = 3.3
        figure = Figure(figsize=(_WIDTH, height), facecolor="none")
        axes = figure.add_axes((0.075, 0.14, 0.73, 0.8))
        numbers = [step.number for step in history.steps]
        train = [step.train_rmse for step in history.steps]
        validation = [step.validation_rmse for step in history.steps]
        axes.plot(numbers, train, color=_SECOND, marker="o", markersize=3)
        axes.plot(numbers, validation, color=_FIRST, marker="o", markersize=3)
        kept = history.kept
        axes.plot(kept.number, kept.validation_rmse, "o", color=_FIRST, markersize=9, fillstyle="none")
        ends = [(train[-1], "training", _SECOND), (validation[-1], "validation", _FIRST)]
        if noise_floor is not None:
            axes.axhline(noise_floor, color=_MUTED, linestyle=(0, (5, 3)), linewidth=1)
            ends.append((noise_floor, f"noise floor {noise_floor:.4f}", _MUTED))
        axes.set_xlim(0.7, len(numbers) + 0.3)
        axes.margins(y=0.12)
        label = "best" if history.unit == EPOCH else "last"
        place = (kept.number - 0.7) / (len(numbers) - 0.4)
        axes.annotate(
            f"{label}: {kept.validation_rmse:.4f} in {history.unit} {kept.number}",
            (kept.number, kept.validation_rmse),
            xytext=(0, 12),
            textcoords="offset points",
            ha="left" if place < 0.15 else "right" if place > 0.85 else "center",
            color=_FIRST,
        )
        low, high = axes.get_ylim()
        gap = 0.07 * (high - low)
        for (_, text, colour), y in zip(ends, _spread([end[0] for end in ends], gap), strict=True):
            axes.annotate(
                text,
                (1, y),
                xycoords=("axes fraction", "data"),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                color=colour,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(history.unit)
        axes.set_ylabel("RMSE, stars")
        return _svg(figure, f"Training and validation RMSE by {history.unit}")


def slices(groups: Sequence[SliceGroup], overall: SliceMetrics) -> list[Markup]:
    """Draw RMSE and calibration of the slices of each group, all on the same scales."""
    metrics = [row.metrics for group in groups for row in group.rows]
    rmses = _finite(overall.rmse, *(r for m in metrics for r in (m.rmse, m.baseline_rmse) if r is not None))
    low, high = min(rmses, default=0.0), max(rmses, default=1.0)
    margin = max(0.05 * (high - low), 0.002)
    deviations = _finite(*(abs(m.calibration - 1) for m in metrics))
    span = 1.12 * max([_SMALLEST_CALIBRATION_SPAN, *deviations])
    with mpl.rc_context(_SETTINGS):
        return [
            _slice_group(group, overall, (low - margin, high + margin), (1 - span, 1 + span))
            for group in groups
        ]


def _finite(*values: float) -> list[float]:
    """Leave out what a model that predicts no number has for an error: the report says why it was refused."""
    return [value for value in values if math.isfinite(value)]


def rejections(found: Sequence[Rejection]) -> Markup:
    """Draw how many rows were rejected, by file and reason."""
    with mpl.rc_context(_SETTINGS):
        figure, height = _rows_figure(len(found))
        axes = _panel(figure, height, _REJECTED, len(found), "rejected rows")
        positions = np.arange(len(found))
        axes.barh(positions, [r.rows for r in found], height=0.6, color=_SECOND)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        for y, rejection in zip(positions, found, strict=True):
            axes.annotate(
                f"{rejection.rows:,}",
                (rejection.rows, y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
            _row_text(
                figure, height, len(found), int(y), _REASON_RIGHT, f"{rejection.file}: {rejection.reason}"
            )
        return _svg(figure, "Rejected rows by file and reason")


def _slice_group(
    group: SliceGroup,
    overall: SliceMetrics,
    rmse_limits: tuple[float, float],
    calibration_limits: tuple[float, float],
) -> Markup:
    rows = group.rows
    figure, height = _rows_figure(len(rows))
    positions = np.arange(len(rows))
    _rmse_panel(_panel(figure, height, _RMSE, len(rows), "RMSE, stars"), rows, overall, rmse_limits)
    axes = _panel(figure, height, _CALIBRATION, len(rows), "mean prediction / mean rating")
    calibrations = [row.metrics.calibration for row in rows]
    axes.axvline(1, color=_MUTED, linewidth=1)
    axes.hlines(positions, 1, calibrations, color=_FIRST, linewidth=2.5)
    axes.plot(calibrations, positions, "o", color=_FIRST, markersize=5)
    axes.set_xlim(calibration_limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=_STEPS))
    figure.text(
        _ROWS_RIGHT / _WIDTH, 1 - (_HEAD - 0.1) / height, "test rows", ha="right", va="baseline", color=_MUTED
    )
    for index, row in enumerate(rows):
        _row_text(figure, height, len(rows), index, _LABELS_RIGHT, row.label)
        _row_text(figure, height, len(rows), index, _ROWS_RIGHT, f"{row.metrics.rows:,}")
    return _svg(figure, f"RMSE and calibration by {group.title.lower()}")


def _rmse_panel(
    axes: Axes, rows: Sequence[LabelledSlice], overall: SliceMetrics, limits: tuple[float, float]
) -> None:
    axes.axvline(overall.rmse, color=_MUTED, linestyle=(0, (5, 3)), linewidth=1)
    for y, row in enumerate(rows):
        if row.metrics.baseline_rmse is not None:
            axes.hlines(y, row.metrics.rmse, row.metrics.baseline_rmse, color=_SECOND, linewidth=1)
            axes.plot(row.metrics.baseline_rmse, y, "o", color=_SECOND, markersize=6.5, fillstyle="none")
        axes.plot(row.metrics.rmse, y, "o", color=_FIRST, markersize=6)
    axes.set_xlim(limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=_STEPS))


def _rows_figure(rows: int) -> tuple[Figure, float]:
    """Return a figure for rows under each other, and its height."""
    height = _HEAD + rows * _ROW + _FOOT
    return Figure(figsize=(_WIDTH, height), facecolor="none"), height


def _panel(figure: Figure, height: float, place: tuple[float, float], rows: int, title: str) -> Axes:
    """Add a panel with a line for each row, the first on top."""
    left, width = place
    axes = figure.add_axes((left / _WIDTH, _FOOT / height, width / _WIDTH, rows * _ROW / height))
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), labels=[])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_title(title, loc="left", pad=7)
    return axes


def _row_text(figure: Figure, height: float, rows: int, index: int, right: float, text: str) -> None:
    """Write a text that ends at `right`, beside a row of the panels."""
    y = _FOOT + (rows - index - 0.5) * _ROW
    longest = int(_CHARACTERS * right)
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    figure.text(right / _WIDTH, y / height, short, ha="right", va="center_baseline")


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart, upwards, until neighbours are at least `gap` from each other."""
    spread = list(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    for lower, upper in itertools.pairwise(order):
        spread[upper] = max(spread[upper], spread[lower] + gap)
    return spread


def _svg(figure: Figure, description: str) -> Markup:
    """Return the figure as an SVG element that can stand in a page beside others."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
    text = re.sub(r' id="[^"]*_[^"]*"', "", text)  # names of parts, which each plot has; none refers to them
    text = re.sub(r"font-family: [^;]*; ", "", text)  # the page's
    for placeholder, colour in _CSS_COLOURS.items():
        text = text.replace(placeholder, colour)
    return Markup(text)
