"""Which version a user's requests go to, decided in the client.

TensorFlow Serving answers each version under its label, but shares no traffic out; a client that hashes the
user's id needs no gateway between the two, and asks the same version about a user each time.
"""

import dataclasses
from pathlib import Path
from typing import Protocol, TypeAlias

from serving import release
from serving.hashing import mix
from serving.release import CANARY, STABLE

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


class ReleaseRouter:
    """Shares the users out as the release says that holds, and follows each later one.

    Args:
        base_path: The serving folder, of which a file is looked at for each request.
    """

    def __init__(self, base_path: str | Path) -> None:
        self._base_path = base_path
        self._read: tuple[object, release.Release] = (None, release.Release())

    def version(self, uid: int) -> str | None:
        """Return the label for a user; None, which is the latest version, where nothing was released.

        Raises:
            ValueError: The record of the releases is damaged.
        """
        state = release.state(self._base_path)
        if state != self._read[0]:
            self._read = (state, release.holding(self._base_path))
        now = self._read[1]
        return None if now.stable is None else CanaryRouter(now.canary_percent).version(uid)
