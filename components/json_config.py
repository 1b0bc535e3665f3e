"""Configurations that travel as JSON in a node's execution properties."""

import dataclasses
import json
from typing import Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class JsonConfig:
    """A frozen dataclass of plain values that goes to JSON and back."""

    def to_json(self) -> str:
        """Return the fields as canonical JSON: the same configuration gives the same text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the configuration that `to_json` wrote.

        Raises:
          TypeError: a field is unknown.
          ValueError: a field is out of its range.
        """
        values = json.loads(text)
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
