"""What a running pipeline tells the terminal: one JSON object a line, on a pipe."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import IO, Any

STARTED = "started"
PROGRESS = "progress"
FINISHED = "finished"
FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened to a node."""

    kind: str  # one of the constants above
    node: str
    text: str = ""  # main figures, progress or the cause of a failure
    seconds: float = 0.0  # how long the node took; of FINISHED and FAILED
    cached: bool = False  # of FINISHED


class EventWriter:
    """Writes events to a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")

    def write(self, event: Event) -> None:
        """Write an event at once; without a reader it is dropped."""
        with contextlib.suppress(BrokenPipeError):
            self._file.write(json.dumps(dataclasses.asdict(event)) + "\n")
            self._file.flush()


def read_events(file: IO[str]) -> Iterator[Event]:
    """Yield events until the writer is gone; a line that a killed writer left unfinished is none."""
    for line in file:
        if line.endswith("\n"):
            values: dict[str, Any] = json.loads(line)
            yield Event(**values)
