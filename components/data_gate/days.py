"""Each new day against the days before it: in the statistics of months, one bad day does not show."""

import dataclasses
import datetime
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.data_gate.config import DataGateConfig, Kind
from components.data_gate.report import Measurement, measured
from components.ratings_example_gen import spans
from components.ratings_example_gen.counts import RowCounts
from components.ratings_example_gen.facts import RatingFacts
from schema import features

_WORST_SHARE_DEVIATION = 0.5  # of a thing that is or is not


@dataclasses.dataclass(frozen=True)
class Day:
    """What came in on a day."""

    lines: int = 0
    rejected: int = 0
    facts: RatingFacts = dataclasses.field(default_factory=RatingFacts)


def read_days(ratings: RowCounts, told: Mapping[str, Any]) -> dict[str, Day]:
    """Return the days that a run reads, in their order; a quiet one has nothing.

    Args:
      ratings: counts of the files of ratings.
      told: what `Inputs.days` says.
    """
    found = {
        str(spans.day(name)): Day(
            lines,
            ratings.rejected_by_file[name],
            ratings.facts_by_file.get(name, RatingFacts()),
        )
        for name, lines in ratings.read_by_file.items()
    }
    first, last = (
        datetime.date.fromisoformat(told[part][i]) for part, i in (("training", 0), ("evaluation", 1))
    )
    days = (str(first + datetime.timedelta(days=i)) for i in range((last - first).days + 1))
    return {day: found.get(day, Day()) for day in days if day not in told["missing"]}


def new_days(days: Iterable[str], told: Mapping[str, Any], served: Mapping[str, Any] | None) -> list[str]:
    """Return the days that the served version has not seen as they are now.

    Args:
      days: that this run reads.
      told: what `Inputs.days` says of this run.
      served: the same of the run that made the served version. None where there is none or it does not say:
        then the evaluation span is new.
    """
    if served is None:
        return [day for day in days if day >= told["evaluation"][0]]
    first, last = served["training"][0], served["evaluation"][1]
    again = {str(spans.day(name)) for name in set(told["redelivered"]) - set(served["redelivered"])}
    # As text: ISO dates sort by time.
    return [day for day in days if not first <= day <= last or day in served["missing"] or day in again]


def judge(
    days: Mapping[str, Day], new: Sequence[str], config: DataGateConfig
) -> tuple[list[Measurement], list[str]]:
    """Hold new days against those before them; return the figures, and what could not be judged.

    Args:
      days: all that the run reads, in their order.
      new: those to judge.
      config: the bounds.
    """
    measurements: list[Measurement] = []
    alone = []
    names = list(days)
    for name in new:
        position = names.index(name)
        before = [days[earlier] for earlier in names[max(0, position - config.trailing_days) : position]]
        measurements += _judge_by_itself(name, days[name], config)
        if len(before) < config.min_trailing_days:
            alone.append(name)
        else:
            measurements += _judge_against(name, days[name], before, config)
    shown = f"{alone[0]} to {alone[-1]}" if alone[1:] else "".join(alone)
    notes = (
        [f"{shown}: fewer than {config.min_trailing_days} days before to hold it against"] if alone else []
    )
    return measurements, notes


def _judge_by_itself(name: str, day: Day, config: DataGateConfig) -> list[Measurement]:
    facts = day.facts
    found = []
    if not facts.rows:
        found.append(
            measured(
                config, Kind.QUIET, feature="", where=name, what="number of ratings", figure=0.0, low=1.0
            )
        )
    if facts.rows >= config.min_rows:
        found.append(
            measured(
                config,
                Kind.REPEATED,
                feature="",
                where=name,
                what="share of ratings that an earlier day had too",
                figure=facts.replacing / facts.rows,
                high=config.max_repeated,
            )
        )
    if day.lines >= config.min_rows:
        found.append(
            measured(
                config,
                Kind.REJECTED,
                feature="",
                where=name,
                what="share of rejected lines",
                figure=day.rejected / day.lines,
                high=config.max_day_rejected,
            )
        )
    return found


def _judge_against(name: str, day: Day, before: Sequence[Day], config: DataGateConfig) -> list[Measurement]:
    facts = day.facts
    past = sum((other.facts for other in before), RatingFacts())
    found = []
    usual = statistics.median(other.facts.rows for other in before)
    if usual and facts.rows:
        found.append(
            measured(
                config,
                Kind.VOLUME,
                feature="",
                where=name,
                what=f"number of ratings by the median of {len(before)} days before, {usual:,.0f},",
                figure=facts.rows / usual,
                low=config.min_volume_ratio,
                high=config.max_volume_ratio,
            )
        )
    if not past.rows or facts.rows < config.min_rows:
        return found
    mean = past.ratings / past.rows
    deviation = math.sqrt(max(0.0, past.squared_ratings / past.rows - mean**2))
    error = deviation * _error_of_mean(facts, config.user_correlation)
    room = max(config.max_rating_change, config.max_standard_errors * error)
    found.append(
        measured(
            config,
            Kind.MEAN_RATING,
            feature=features.RATING.name,
            where=name,
            what=f"mean rating ({len(before)} days before: {mean:.4g})",
            figure=facts.ratings / facts.rows,
            low=mean - room,
            high=mean + room,
        )
    )
    # What a user lacks, all of the user's rows lack.
    room = max(
        config.max_more_missing,
        config.max_standard_errors * _WORST_SHARE_DEVIATION * _error_of_mean(facts, 1.0),
    )
    found += [
        measured(
            config,
            Kind.MISSING,
            feature=feature.name,
            where=name,
            what="share of rows without a value",
            figure=facts.missing[feature.name] / facts.rows,
            high=past.missing[feature.name] / past.rows + room,
        )
        for feature in features.USER_FEATURES
        if facts.missing[feature.name] or past.missing[feature.name]
    ]
    return found


def _error_of_mean(facts: RatingFacts, correlation: float) -> float:
    """Return the standard error of a mean of rows that come in clusters, one a user, for a deviation of 1.

    With the design effect of clusters of unequal size: Kish, Survey Sampling (1965), section 5.4.
    """
    alone = (1 - correlation) / facts.rows
    return math.sqrt(alone + correlation * facts.squared_rows / facts.rows**2)
