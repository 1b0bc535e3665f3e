"""Which version a user's requests go to, decided in the client.

TensorFlow Serving answers each version under its label, but shares no traffic out; a client that hashes the
user's id needs no gateway between the two, and asks the same version about a user each time.
"""

import dataclasses
from typing import Final, Protocol

STABLE: Final = "stable"
CANARY: Final = "canary"

_BITS = (1 << 64) - 1


class Router(Protocol):
    """Chooses a version by its label."""

    def label(self, uid: int) -> str | None:
        """Return the label to ask for a user's ratings; None for the latest version."""


@dataclasses.dataclass(frozen=True)
class CanaryRouter:
    """Sends a share of the users to the canary, always the same ones; a larger share only adds to them."""

    percent: float  # of the users, 0 to 100

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"`percent` must be from 0 to 100, got {self.percent}")

    def label(self, uid: int) -> str:
        """Return `CANARY` or `STABLE`."""
        return CANARY if mix(uid) * 100 < self.percent * 2**64 else STABLE


def mix(value: int) -> int:
    """Spread 64-bit integers over 0 … 2^64 - 1, each output bit depending on every input bit.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2714064.2660195).
    """
    z = (value + 0x9E3779B97F4A7C15) & _BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _BITS
    return z ^ (z >> 31)
