"""Slices as people read them: the codes of users.dat in words, in a sensible order."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from components.evaluator.eval_config import SLICES
from components.evaluator.results import SliceMetrics
from schema import features

# From the README of MovieLens 1M.
_GENDERS: Final = {"F": "female", "M": "male"}
_AGES: Final = {
    1: "under 18",
    18: "18 to 24",
    25: "25 to 34",
    35: "35 to 44",
    45: "45 to 49",
    50: "50 to 55",
    56: "56 and over",
}
_OCCUPATIONS: Final = dict(
    enumerate(
        (
            "other or not specified",
            "academic or educator",
            "artist",
            "clerical or admin",
            "college or grad student",
            "customer service",
            "doctor or health care",
            "executive or managerial",
            "farmer",
            "homemaker",
            "K-12 student",
            "lawyer",
            "programmer",
            "retired",
            "sales or marketing",
            "scientist",
            "self-employed",
            "technician or engineer",
            "tradesman or craftsman",
            "unemployed",
            "writer",
        )
    )
)
_LABELS: Final[dict[str, dict[Any, str]]] = {
    features.GENDER.name: _GENDERS,
    features.AGE.name: _AGES,
    features.OCCUPATION.name: _OCCUPATIONS,
}


@dataclasses.dataclass(frozen=True)
class LabelledSlice:
    """A slice and its name for people."""

    label: str
    metrics: SliceMetrics


@dataclasses.dataclass(frozen=True)
class SliceGroup:
    """The slices of one feature, in the order in which they are shown."""

    title: str
    rows: tuple[LabelledSlice, ...]


def grouped(slices: Iterable[SliceMetrics]) -> list[SliceGroup]:
    """Return the slices by feature: ages and activity in their own order, the rest by rows."""
    by_feature: dict[str, list[SliceMetrics]] = {feature.name: [] for feature in SLICES}
    for found in slices:
        by_feature[found.feature].append(found)
    return [
        SliceGroup(
            feature.replace("_", " ").capitalize(),
            tuple(LabelledSlice(_label(s), s) for s in sorted(rows, key=_order)),
        )
        for feature, rows in by_feature.items()
        if rows
    ]


def _label(found: SliceMetrics) -> str:
    """Return the value in words; as it is where it is no code of MovieLens 1M."""
    return _LABELS.get(found.feature, {}).get(found.value, str(found.value))


def _order(found: SliceMetrics) -> tuple[float, str]:
    match found.feature:
        case features.AGE.name:
            place = float(found.value)
        case features.USER_ACTIVITY.name | features.MOVIE_ACTIVITY.name:
            place = features.ACTIVITY_LEVELS.index(str(found.value))
        case _:
            place = -found.rows
    return place, str(found.value)
