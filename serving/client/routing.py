"""Which version a user's requests go to, decided in the client.

TensorFlow Serving answers each version under its label, but shares no traffic out; a client that hashes the
user's id needs no gateway between the two, and asks the same version about a user each time.
"""

import dataclasses
from typing import Final, Protocol, TypeAlias

from serving.hashing import mix

STABLE: Final = "stable"
CANARY: Final = "canary"

Version: TypeAlias = str | int
"""A version by its label or its number."""


class Router(Protocol):
    """Chooses a version."""

    def version(self, uid: int) -> Version | None:
        """Return the version to ask for a user's ratings; None for the latest."""


@dataclasses.dataclass(frozen=True)
class OneVersion:
    """Sends all users to the same version."""

    chosen: Version

    def version(self, uid: int) -> Version:
        """Return it."""
        return self.chosen


@dataclasses.dataclass(frozen=True)
class CanaryRouter:
    """Sends a share of the users to the canary, always the same ones; a larger share only adds to them."""

    percent: float  # of the users, 0 to 100

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"`percent` must be from 0 to 100, got {self.percent}")

    def version(self, uid: int) -> str:
        """Return `CANARY` or `STABLE`."""
        return CANARY if mix(uid) * 100 < self.percent * 2**64 else STABLE
