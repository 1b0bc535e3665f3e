"""How the training of a model began: what the history says beside its epochs."""

import dataclasses
import json
import os

from tfx.utils import io_utils

from schema import features

START_FILE = "start.json"  # in the model run artifact

_SHOWN = {features.UID.name: "users", features.MID.name: "movies"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entries:
    """How the vocabulary of a feature has changed since the served model."""

    kept: int  # in both; they keep their embeddings
    new: int  # they begin with the embedding of the OOV bucket that they were in
    gone: int  # no longer in the training data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """From which version's weights a training began, or why from none."""

    version: int | None  # None for a cold start
    reason: str = ""  # of a cold start
    entries: dict[str, Entries] = dataclasses.field(default_factory=dict)  # by categorical feature, if warm

    @property
    def text(self) -> str:
        """The start in a few words."""
        if self.version is None:
            return f"cold start: {self.reason}"
        counts = [
            f"; {self.entries[name].kept:,} {label} kept, {self.entries[name].new:,} new, "
            f"{self.entries[name].gone:,} gone"
            for name, label in _SHOWN.items()
            if name in self.entries
        ]
        return f"warm start from version {self.version}{''.join(counts)}"

    def write(self, folder: str) -> None:
        """Write it into the folder of the model run artifact."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        io_utils.write_string_file(os.path.join(folder, START_FILE), text)

    @classmethod
    def read(cls, folder: str) -> "Start":
        """Read what `write` wrote."""
        content = json.loads(io_utils.read_string_file(os.path.join(folder, START_FILE)))
        entries = {name: Entries(**counts) for name, counts in content.pop("entries").items()}
        return cls(**content, entries=entries)
