"""Which files of a dataset a run reads."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator, Mapping

import tensorflow as tf
from tfx.dsl.io import fileio

from components.errors import RunStoppedError
from components.json_config import JsonConfig
from components.ratings_example_gen import spans
from components.ratings_example_gen.config import RunDays
from components.ratings_example_gen.parse import MOVIES_FILE, RATINGS_FILE, USERS_FILE

_NAMED_DAYS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs(JsonConfig):
    """Files, relative to the dataset's folder."""

    training: tuple[str, ...]  # of ratings, oldest span first; of a flat dataset those of every split
    evaluation: tuple[str, ...] = ()  # of the evaluation span, oldest first
    movies: str
    users: str
    missing: tuple[str, ...] = ()  # days that the run goes on without, as 2000-12-31

    @property
    def ratings(self) -> tuple[str, ...]:
        """All files of ratings, oldest span first."""
        return self.training + self.evaluation

    @property
    def files(self) -> tuple[str, ...]:
        """All files."""
        return (*self.ratings, self.movies, self.users)

    @property
    def days(self) -> dict[str, list[str]]:
        """First and last day of `training` and of `evaluation`, and the days that are `missing`.

        `redelivered` are the files of ratings that came in place of an earlier version.
        """
        ends = {
            name: [str(spans.day(files[i])) for i in (0, -1)] if files else []
            for name, files in (("training", self.training), ("evaluation", self.evaluation))
        }
        redelivered = [file for file in self.ratings if spans.is_redelivered(file)]
        return {**ends, "missing": list(self.missing), "redelivered": redelivered}


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Stop the run where a file or folder cannot be read, which says nothing of the data.

    Raises:
      RunStoppedError: a file system gave an error.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TFX's own errors have no words.
        reason = error.__cause__ or error
        raise RunStoppedError(f"{path} cannot be read: {reason}", of_data=False) from error


def find_inputs(input_base: str, config: RunDays | None) -> Inputs:
    """Find the files of a flat dataset, or of the days that a run reads.

    The days before the first span are not missing: the data had not begun. Movies and users are those of
    the newest span up to the run date that has them, whether the window reaches it or not.

    Args:
      input_base: the dataset's folder.
      config: which days; None for a flat dataset.

    Raises:
      RunStoppedError: a day is missing or late and the configuration does not allow it, no training day is
        left, there are no movies or users, or a folder is misnamed or cannot be read.
    """
    if config is None:
        return Inputs(training=(RATINGS_FILE,), movies=MOVIES_FILE, users=USERS_FILE)
    days = _days(input_base, config.last_day)
    first = max(config.window_start, min(days))
    found = {day: files for day, files in days.items() if day >= first and RATINGS_FILE in files}
    length = (config.last_day - first).days + 1
    asked = [first + datetime.timedelta(days=i) for i in range(length)]
    missing = [day for day in asked if day not in found]
    if missing and not config.allow_missing:
        raise _missing(input_base, missing)
    start = config.evaluation_start
    training, evaluation = (
        tuple(files[RATINGS_FILE] for day, files in found.items() if (day >= start) is later)
        for later in (False, True)
    )
    for part, name in ((training, "training window"), (evaluation, "evaluation span")):
        if not part:
            raise RunStoppedError(
                f"{input_base} has no day of the {name}: the evaluation span of this run is {start} to "
                f"{config.last_day}, the first span is {min(days)}; choose another date"
            )
    return Inputs(
        training=training,
        evaluation=evaluation,
        movies=_newest(input_base, days, MOVIES_FILE),
        users=_newest(input_base, days, USERS_FILE),
        missing=tuple(map(str, missing)),
    )


def _missing(input_base: str, missing: list[datetime.date]) -> RunStoppedError:
    named = ", ".join(map(str, missing[:_NAMED_DAYS]))
    more = f" and {len(missing) - _NAMED_DAYS} more" if len(missing) > _NAMED_DAYS else ""
    path = os.path.join(input_base, spans.folder(missing[0]), RATINGS_FILE)
    return RunStoppedError(
        f"missing or late: {named}{more}; {path} is not there. Deliver the day and run again; a day "
        "without ratings has an empty file; --allow-missing goes on without the day"
    )


def _days(input_base: str, last: datetime.date) -> dict[datetime.date, dict[str, str]]:
    """Return the newest version of each file of each span up to the last day, in the order of days."""
    try:
        names = {spans.day(name): name for name in _entries(input_base)}
        days = {
            day: _files(input_base, name)
            for day, name in sorted((d, name) for d, name in names.items() if d and d <= last)
        }
    except ValueError as error:
        raise RunStoppedError(f"{input_base}: {error}") from error
    if not days:
        later = min((day for day in names if day), default=None)
        raise RunStoppedError(
            f"{input_base} has no span up to {last}"
            + (f"; the first is {later}" if later else f": it needs folders like {spans.folder(last)}")
        )
    return days


def _files(input_base: str, span: str) -> dict[str, str]:
    """Return the newest version of each file of a span, relative to the dataset's folder."""
    entries = _entries(os.path.join(input_base, span))
    files = {name: f"{span}/{name}" for name in entries}
    for _, name in sorted((n, name) for name in entries if (n := spans.version(name))):
        folder = f"{span}/{name}"
        files |= {file: f"{folder}/{file}" for file in _entries(os.path.join(input_base, folder))}
    return files


def _entries(folder: str) -> list[str]:
    with reading(folder):
        # An object store's folders end in a slash.
        return [str(name).rstrip("/") for name in fileio.listdir(folder)]


def _newest(input_base: str, days: Mapping[datetime.date, dict[str, str]], file: str) -> str:
    """Return the movies or users that hold on the last of the days."""
    for files in reversed(list(days.values())):
        if file in files:
            return files[file]
    with reading(shared := os.path.join(input_base, file)):
        found = fileio.exists(shared)
    if not found:
        raise RunStoppedError(
            f"{input_base} has no {file}, itself or in a span up to {max(days)}: put it there"
        )
    return file
