"""How a model is sampled."""

import dataclasses
from typing import ClassVar

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class GibbsConfig(JsonConfig):
    """The Gibbs chain: sweeps on the training rows first, then on the validation rows too.

    What is exported is the mean of the chain's second part. The first part is watched on the validation
    rows, and chooses nothing.

    Raises:
      ValueError: a field is outside its range.
    """

    RUN_FN: ClassVar = "components.gibbs.run_fn"  # module of the training
    FITS_VALIDATION: ClassVar = True  # to the rows of the validation split too

    method: str = "gibbs"  # and no other: it tells this configuration from that of another method
    burn_in: int = 80  # sweeps on the training rows alone, at least 1
    settling: int = 10  # sweeps on training and validation rows before those that count, at least 0
    sweeps: int = 100  # on training and validation rows, at least 1; their mean is exported
    warm_burn_in: int = 10  # in place of `burn_in` after a warm start, at least 1
    implicit_rank: int = (
        128  # dimensions of the implicit embeddings, at least 1; fewer where the data has fewer
    )
    history_shrinkage: float = 100.0  # ratings; a history of as many counts for 0.7 of a long one, above 0
    deep_share: float = 0.5  # of the rows that the deep part is trained on in a sweep, above 0, at most 1
    deep_batch_size: int = 4096  # rows, at least 1
    deep_learning_rate: float = 0.001  # of Adam, above 0
    choice_dim: int = 64  # dimensions of the vectors by which `rank` orders movies, at least 1
    choice_epochs: int = 3  # of their training, at least 1
    choice_learning_rate: float = 0.004  # of Adam at its highest, above 0
    choice_rating_weight: float = 1.0  # of a predicted star beside the log odds to be chosen, at least 0
    cold: bool = False  # begin from nothing, though the served model's weights could be taken over
    seed: int = 0  # of the chain, initial weights, order of rows and dropout; 0 to 2**32 - 1

    def __post_init__(self) -> None:
        if self.method != "gibbs":
            raise ValueError(f"`method` must be 'gibbs', got {self.method!r}")
        for name in (
            "burn_in",
            "sweeps",
            "warm_burn_in",
            "implicit_rank",
            "history_shrinkage",
            "deep_batch_size",
            "deep_learning_rate",
            "choice_dim",
            "choice_epochs",
            "choice_learning_rate",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        for name in ("settling", "choice_rating_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}")
        if not 0 < self.deep_share <= 1:
            raise ValueError(f"`deep_share` must be above 0 and at most 1, got {self.deep_share}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` must be from 0 to 2**32 - 1, got {self.seed}")
