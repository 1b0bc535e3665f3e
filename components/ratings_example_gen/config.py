"""What RatingsExampleGen can be told."""

import dataclasses
import enum

from components.json_config import JsonConfig


class SplitMethod(enum.StrEnum):
    """How rows are divided into train, valid and test."""

    RANDOM = "random"  # by a seeded hash of (uid, mid)
    TIME = "time"  # the last part of the timeline is the test split, the part before it valid


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleGenConfig(JsonConfig):
    """How rows are split, how many bad ones are let pass, and what counts as an active user."""

    split: SplitMethod = SplitMethod.RANDOM
    split_seed: int = 0  # of the hash; the training seed does not change who is in which split
    valid_fraction: float = 0.05  # share of accepted rows, above 0
    test_fraction: float = 0.1  # share of accepted rows, above 0
    max_rejected_fraction: float = 0.01  # share of the lines of a file, 0 to 1; more stops the run
    cold_below: int = 10  # fewer ratings in the training split than this: "cold"
    heavy_from: int = 200  # this many ratings in the training split or more: "heavy"
    shard_bytes: int = 16 << 20  # input bytes per output shard; bounds the memory of a Beam worker

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", SplitMethod(self.split))
        for name in ("valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be between 0 and 1, got {getattr(self, name)}")
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "`valid_fraction` and `test_fraction` must leave rows to train on, got "
                f"{self.valid_fraction} and {self.test_fraction}"
            )
        if not 0 <= self.max_rejected_fraction <= 1:
            raise ValueError(f"`max_rejected_fraction` must be from 0 to 1, got {self.max_rejected_fraction}")
        if not 0 < self.cold_below <= self.heavy_from:
            raise ValueError(
                "`cold_below` must be positive and at most `heavy_from`, got "
                f"{self.cold_below} and {self.heavy_from}"
            )
        if self.shard_bytes <= 0:
            raise ValueError(f"`shard_bytes` must be positive, got {self.shard_bytes}")

    @property
    def split_identity(self) -> str:
        """What decides which rows are test rows."""
        return f"{self.split} seed={self.split_seed} test={self.test_fraction} valid={self.valid_fraction}"
