"""How a model is trained."""

import dataclasses
from typing import ClassVar

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(JsonConfig):
    """The training loop: MSE loss and Adam, stopped early on the validation RMSE.

    What is validated and exported is a moving average of the weights (Polyak and Juditsky 1992), unless
    `averaging_epochs` is 0.

    Raises:
      ValueError: a field is outside its range.
    """

    RUN_FN: ClassVar = "components.trainer.run_fn"  # module of the training
    FITS_VALIDATION: ClassVar = False  # to the rows of the validation split too

    method: str = "gradient"  # and no other: it tells this configuration from that of another method
    batch_size: int = 4096  # rows, at least 1
    epochs: int = 14  # at most; at least 1
    patience: int = 3  # epochs without a better validation RMSE before training stops, at least 1
    learning_rate: float = 0.004  # of Adam, above 0
    averaging_epochs: float = 2.4  # time constant of the exponential moving average of the weights; 0 is none
    cold: bool = False  # begin from nothing, though the served model's weights could be taken over
    warm_epochs: int = 3  # in place of `epochs` after a warm start, at least 1
    warm_share: float = 0.7  # of the served weights in those that it begins with, above 0, at most 1
    seed: int = 0  # of initial weights, order of rows and dropout; 0 to 2**32 - 1
    block_rows: int = 4_000_000  # rows shuffled together, and held in memory; at least 1

    def __post_init__(self) -> None:
        if self.method != "gradient":
            raise ValueError(f"`method` must be 'gradient', got {self.method!r}")
        for name in ("batch_size", "epochs", "warm_epochs", "patience", "learning_rate", "block_rows"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` must be from 0 to 2**32 - 1, got {self.seed}")
        if not 0 < self.warm_share <= 1:
            raise ValueError(f"`warm_share` must be above 0 and at most 1, got {self.warm_share}")
        if not self.averaging_epochs >= 0:
            raise ValueError(f"`averaging_epochs` must not be negative, got {self.averaging_epochs}")
