"""The days of a schedule as people read them: lines, a CSV file and a plot."""

import csv
import dataclasses
import io
import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.figure import Figure

from components.model_report import style
from pipeline.retraining import Day

CSV_FILE: Final = "days.csv"
PLOT_FILE: Final = "days.svg"

_HEADS: Final = ("day", "rows", "new users", "new movies", "RMSE before", "after", "seconds", "decision")
_WIDTHS: Final = (10, 11, 9, 10, 11, 6, 7, 0)
_REASON: Final = 70  # characters
_SETTINGS: Final[dict[Any, Any]] = {**style.SETTINGS, "grid.color": "#dddddd"}


def head() -> str:
    """Return the head of the lines."""
    return _aligned(_HEADS)


def line(day: Day) -> str:
    """Return a day in one line, with as much of a reason as fits."""
    reason = f": {textwrap.shorten(day.reason, _REASON, placeholder=' …')}" if day.reason else ""
    return _aligned(
        (
            str(day.day),
            _shown(day.rows),
            _shown(day.new_users),
            _shown(day.new_movies),
            _shown(day.rmse_before, ".4f"),
            _shown(day.rmse_after, ".4f"),
            f"{day.seconds:.0f}",
            day.decision + reason,
        )
    )


def write(days: Sequence[Day], folder: Path) -> None:
    """Write the CSV file, a row a day with the fields of `Day`, and the plot, each whole or not at all.

    Raises:
        OSError: A file cannot be written.
    """
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Day)]
    rows = csv.DictWriter(text, names, lineterminator="\n")
    rows.writeheader()
    rows.writerows(dataclasses.asdict(day) for day in days)
    _replace(folder / CSV_FILE, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))
    _replace(folder / PLOT_FILE, lambda path: _plot(days, path))


def _aligned(values: Sequence[str]) -> str:
    *numbers, decision = (value.rjust(width) for value, width in zip(values, _WIDTHS, strict=True))
    return "  ".join((*numbers, decision))


def _shown(value: float | None, form: str = ",") -> str:
    return "-" if value is None else format(value, form)


def _plot(days: Sequence[Day], path: Path) -> None:
    """Draw the RMSE of the served and of the new model, and the time that each day took."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(9.5, 5.0), layout="constrained")
        errors, times = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        axis = [day.day for day in days]
        for label, colour, values in (
            ("served before", "#888888", [day.rmse_before for day in days]),
            ("trained", "#1f6fb4", [day.rmse_after for day in days]),
        ):
            # As numbers, where None is a gap.
            errors.plot(axis, np.array(values, float), "o-", color=colour, markersize=3, label=label)
        held = [day for day in days if day.version is None and day.rmse_after is not None]
        errors.plot(
            [day.day for day in held],
            [day.rmse_after for day in held],
            "x",
            color="#c0392b",
            label="not pushed",
        )
        errors.set_ylabel("RMSE in the evaluation span, stars")
        errors.legend(frameon=False)
        training = [day.training_seconds or 0.0 for day in days]
        times.bar(axis, [day.seconds for day in days], color="#bbbbbb", label="run")
        times.bar(axis, training, color="#1f6fb4", label="of it training")
        times.set_ylabel("seconds")
        times.legend(frameon=False)
        locator = dates.AutoDateLocator()
        times.xaxis.set_major_locator(locator)
        times.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _replace(path: Path, write_to: Callable[[Path], object]) -> None:
    """Write a file beside its place, then put it there."""
    partial = path.with_name(f".{path.name}.partial")
    write_to(partial)
    os.replace(partial, path)
