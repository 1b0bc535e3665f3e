"""How a folder of days is laid out.

    span-2000-12-31/ratings.dat               the ratings of one day (UTC); empty for a quiet day
    span-2000-12-31/version-2/ratings.dat     the same day delivered again, from 2 on
    span-2000-12-31/movies.dat, users.dat     all movies and users as of that day, where they changed
    movies.dat, users.dat                     shared by the days before the first of those

Of each file of a span the newest version that has it counts; what lies in the span's own folder is version 1.
"""

import datetime
import re

PREFIX = "span-"
_VERSION_PREFIX = "version-"


def folder(day: datetime.date) -> str:
    """Return the name of a day's folder."""
    return f"{PREFIX}{day.isoformat()}"


def day(name: str) -> datetime.date | None:
    """Return the day of a folder, or of a path that begins with one; None if it is no span.

    Raises:
      ValueError: the name begins as a span's but has no date.
    """
    if not name.startswith(PREFIX):
        return None
    text = name.removeprefix(PREFIX).split("/")[0]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise ValueError(f"{name} must be named like {PREFIX}2000-12-31")
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{name} is no day of the calendar: {error}") from error


def version(name: str) -> int | None:
    """Return the number of a folder within a span; None if it is no version.

    Raises:
      ValueError: the name begins as a version's but has no number from 2 on.
    """
    if not name.startswith(_VERSION_PREFIX):
        return None
    text = name.removeprefix(_VERSION_PREFIX)
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII) or text == "1":
        raise ValueError(
            f"{name} must be {_VERSION_PREFIX}2 or higher; version 1 is what lies in the span's own folder"
        )
    return int(text)


def is_redelivered(path: str) -> bool:
    """Return whether a file, by its path in the dataset's folder, lies in a version of a span from 2 on."""
    return path.count("/") == 2
