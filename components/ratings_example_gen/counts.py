"""How many lines were read, accepted and rejected, and why; and of which time they are."""

import collections
import dataclasses
import json
import os
from collections.abc import Iterable
from typing import Self

from tfx.utils import io_utils

from components.ratings_example_gen.facts import RatingFacts

COUNTS_FILE = "_counts.json"  # the underscore hides it from Parquet readers of the folder


@dataclasses.dataclass
class RowCounts:
    """Counts of one file, or of a part of it; they add up by `+`."""

    read: int = 0  # lines, each accepted, rejected or replaced
    accepted: int = 0  # rows
    rejected: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)  # by reason
    splits: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)  # by split
    times: list[int] = dataclasses.field(default_factory=list)  # first and last of a training row, in seconds
    replaced: int = 0  # rows, by a later span's rating of the same user and movie
    read_by_file: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    rejected_by_file: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    facts_by_file: dict[str, RatingFacts] = dataclasses.field(default_factory=dict)  # of ratings

    def __add__(self, other: Self) -> Self:
        times = self.times + other.times
        return type(self)(
            self.read + other.read,
            self.accepted + other.accepted,
            self.rejected + other.rejected,
            self.splits + other.splits,
            [min(times), max(times)] if times else [],
            self.replaced + other.replaced,
            self.read_by_file + other.read_by_file,
            self.rejected_by_file + other.rejected_by_file,
            _sum(self.facts_by_file, other.facts_by_file),
        )

    @property
    def rejected_total(self) -> int:
        """Rejected rows of all reasons."""
        return self.rejected.total()


def _sum(one: dict[str, RatingFacts], other: dict[str, RatingFacts]) -> dict[str, RatingFacts]:
    nothing = RatingFacts()
    return {name: one.get(name, nothing) + other.get(name, nothing) for name in one | other}


def add(parts: Iterable[RowCounts]) -> RowCounts:
    """Return the sum of the parts."""
    return sum(parts, RowCounts())


def to_json(files: dict[str, RowCounts]) -> str:
    """Return the counts of each file as JSON."""
    values = {
        name: {
            **vars(counts),
            "facts_by_file": {file: facts.to_values() for file, facts in counts.facts_by_file.items()},
        }
        for name, counts in files.items()
    }
    return json.dumps(values, indent=2)


def from_json(text: str) -> dict[str, RowCounts]:
    """Return what `to_json` wrote."""
    return {
        name: RowCounts(
            values["read"],
            values["accepted"],
            collections.Counter(values["rejected"]),
            collections.Counter(values["splits"]),
            values["times"],
            values["replaced"],
            collections.Counter(values["read_by_file"]),
            collections.Counter(values["rejected_by_file"]),
            {file: RatingFacts.from_values(facts) for file, facts in values["facts_by_file"].items()},
        )
        for name, values in json.loads(text).items()
    }


def read(folder: str) -> dict[str, RowCounts]:
    """Read the counts of each file from the folder of the rejected rows."""
    return from_json(io_utils.read_string_file(os.path.join(folder, COUNTS_FILE)))
