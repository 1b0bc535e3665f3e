"""How a model is trained."""

import dataclasses

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(JsonConfig):
    """The training loop: MSE loss and Adam, stopped early on the validation RMSE."""

    batch_size: int = 4096  # rows, at least 1
    epochs: int = 14  # at most; at least 1
    patience: int = 3  # epochs without a better validation RMSE before training stops, at least 1
    learning_rate: float = 0.002  # of Adam, at the start; above 0
    final_learning_rate_fraction: float = 0.02  # of the start, reached by a cosine over `epochs`; 0 to 1
    seed: int = 0  # of initial weights, order of rows and dropout
    block_rows: int = 4_000_000  # rows shuffled together, and held in memory; at least 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "patience", "learning_rate", "block_rows"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        if not 0 <= self.final_learning_rate_fraction <= 1:
            raise ValueError(
                f"`final_learning_rate_fraction` must be from 0 to 1, got {self.final_learning_rate_fraction}"
            )
