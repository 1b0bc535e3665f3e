"""Configurations that travel as JSON in a node's execution properties."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class JsonConfig:
    """A frozen dataclass of plain values that goes to JSON and back."""

    def to_json(self) -> str:
        """Return the fields as canonical JSON: the same configuration gives the same text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the configuration that `to_json` wrote; what it does not name keeps its default.

        Raises:
          ValueError: it is no JSON object, it names an unknown field, or a value is out of range.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"`text` must be a JSON object, got {text!r}")
        return cls.from_values(values)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration of plain values by field; as `from_json` otherwise."""
        unknown = sorted(values.keys() - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"`text` names unknown fields: {', '.join(unknown)}")
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
