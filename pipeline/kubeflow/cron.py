"""Cron expressions: five fields as in crontab(5), and the six that Kubeflow Pipelines reads."""

import re
from collections.abc import Mapping

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = {
    "minute": {str(number): number for number in range(60)},
    "hour": {str(number): number for number in range(24)},
    "day of the month": {str(number): number for number in range(1, 32)},
    "month": {text: 1 + i % 12 for i, text in enumerate((*map(str, range(1, 13)), *_MONTHS))},
    "day of the week": {text: i % 7 for i, text in enumerate((*map(str, range(7)), *_WEEKDAYS))},
}
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/[1-9][0-9]*)?")


def six_fields(cron: str) -> str:
    """Return a cron expression of five fields with that of the seconds before them.

    Kubeflow Pipelines takes five fields too, but as seconds to months: it would run at other times than
    those that were meant (https://pkg.go.dev/github.com/robfig/cron).

    Args:
      cron: minute, hour, day of the month, month, day of the week (0 to 6, 0 is Sunday), in UTC.

    Raises:
      ValueError: it is no such expression.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"`cron` must have five fields, {', '.join(_FIELDS)}, got {cron!r}")
    for field, (name, values) in zip(fields, _FIELDS.items(), strict=True):
        for part in field.split(","):
            found = _PART.fullmatch(part)
            named = [text.lower() for text in found.groups() if text] if found else []
            if not found or not values.keys() >= set(named) or _falls(values, named):
                raise ValueError(f"`cron` has {part!r} as the {name}, which is none, got {cron!r}")
    return " ".join(("0", *fields))


def _falls(values: Mapping[str, int], named: list[str]) -> bool:
    """Return whether a range ends before it begins, which the server refuses."""
    return len(named) == 2 and values[named[0]] > values[named[1]]
