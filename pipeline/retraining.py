"""What became of each day of a folder of days, and which days are due.

The history of the runs is all that is kept: a run that was killed left no summary, so its day is still due.
"""

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.summaries import history
from schema import features

INPUT_FINGERPRINT = "input_fingerprint"
"""Entry of summary.json: identity of what the run of a day read. A run that a person asked for has none."""

_ONE_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Day:
    """The last run of a schedule for a day."""

    day: datetime.date
    rows: int | None  # that it trained on
    evaluation_rows: int | None
    new_users: int | None  # that the version it began with did not know; None after a cold start
    new_movies: int | None
    rmse_before: float | None  # of the version served then, in the evaluation span; None if not comparable
    rmse_after: float | None  # of the version that the run trained, on the same ratings
    version: int | None  # that it was pushed as
    seconds: float
    training_seconds: float | None
    decision: str  # what became of the model, for people
    reason: str  # of a model that was not pushed, or not compared with the served one
    done: bool  # the run came to an end: its model was pushed, or a gate refused it or its data
    input_fingerprint: str  # of what it read

    @property
    def refused(self) -> bool:
        """Whether a gate refused the data or the model."""
        return self.done and self.version is None


def past_days(root: Path) -> list[Day]:
    """Return the days that runs of a schedule were for, the oldest first, each with its last run.

    A run that came to an end counts before a later one that did not. What a person ran for a day besides
    makes no day done: it may have been a later day, or with other options.

    Args:
        root: Everything that runs on the dataset leave behind.
    """
    days: dict[datetime.date, Day] = {}
    for summary in history(root):
        _note(summary, days)
    return [days[day] for day in sorted(days)]


def with_run(past: Sequence[Day], summary: dict[str, Any]) -> list[Day]:
    """Return what `past_days` would, now that there is one more run.

    Args:
        past: Of `past_days`, before the run.
        summary: Of the run.
    """
    days = {day.day: day for day in past}
    _note(summary, days)
    return [days[day] for day in sorted(days)]


def _note(summary: dict[str, Any], days: dict[datetime.date, Day]) -> None:
    """Put a run beside those before it."""
    if not summary.get(INPUT_FINGERPRINT):
        return
    day = day_of(summary)
    if day.done or day.day not in days or not days[day.day].done:
        days[day.day] = day


def day_of(summary: dict[str, Any]) -> Day:
    """Return what the summary of a run for a day says of it."""
    rows = summary.get("rows_by_split", {})
    entries = summary.get("start", {}).get("entries", {})
    new = {name: counts["new"] for name, counts in entries.items()}
    evaluation = summary.get("evaluation", {})
    decision, reason = _decision(summary)
    return Day(
        day=datetime.date.fromisoformat(summary["spans"]["run_date"]),
        rows=rows.get("train"),
        evaluation_rows=rows.get("test"),
        new_users=new.get(features.UID.name),
        new_movies=new.get(features.MID.name),
        rmse_before=evaluation.get("baseline_rmse"),
        rmse_after=summary.get("metrics", {}).get("test", {}).get("overall", {}).get("rmse"),
        version=summary["pushed_version"],
        seconds=summary["seconds"],
        training_seconds=summary["seconds_by_node"].get("Trainer"),
        decision=decision,
        reason=reason,
        done=summary["state"] == "succeeded" or summary.get("data_refused", False),
        input_fingerprint=summary[INPUT_FINGERPRINT],
    )


def require_forward(past: Sequence[Day], first: datetime.date) -> None:
    """Refuse to begin with a day that a later one has overtaken.

    Args:
        past: Of `past_days`.
        first: The first day that may be due.

    Raises:
        ValueError: It was not done, but a later one was.
    """
    done = [day.day for day in past if day.done]
    later = [day for day in done if day > first]
    if later and first not in done:
        raise ValueError(
            f"--from {first} is too early: {later[0]} is done, and an older model would take the place of a "
            f"newer one; leave --from out, or run that day alone: `deepfm run --date {first}`"
        )


def next_due(
    past: Sequence[Day],
    first: datetime.date | None,
    last: datetime.date,
    fingerprint: Callable[[datetime.date], str],
) -> datetime.date | None:
    """Return the first day that is due; None if none is.

    Due is each day after the last one that is done. Before them come the days at the end that were refused,
    the first whose data have changed since: a bad day that was mended had spoilt those after it too.

    Args:
        past: Of `past_days`.
        first: The first day that may be due; None for any, and for the last one where none is done.
        last: The last day that may be due.
        fingerprint: Returns the identity of what a run for a day would read.
    """
    done = [day for day in past if day.done]
    refused = itertools.takewhile(lambda day: day.refused, reversed(done))
    again = [day for day in refused if day.day <= last and (first is None or day.day >= first)]
    for day in reversed(again):
        if fingerprint(day.day) != day.input_fingerprint:
            return day.day
    due = max(first or datetime.date.min, done[-1].day + _ONE_DAY) if done else first or last
    return due if due <= last else None


def _decision(summary: dict[str, Any]) -> tuple[str, str]:
    """Return what became of the model, and why if it was not pushed, or without a comparison."""
    if summary["state"] != "succeeded":
        verdict = "refused by" if summary.get("data_refused") else "failed in"
        return f"{verdict} {summary.get('failed_node', 'the start')}", summary.get("error", "")
    if summary["pushed_version"]:
        decision, evaluation = f"version {summary['pushed_version']}", summary.get("evaluation", {})
        if evaluation.get("baseline_version") and not evaluation["compared"]:
            decision += f", not compared with version {evaluation['baseline_version']}"
            return decision, evaluation["not_compared"]
        return decision, ""
    return "not pushed", "; ".join(summary["blessing_reasons"])
