"""When a model is good enough."""

import dataclasses

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatorConfig(JsonConfig):
    """Thresholds of the evaluation, in ratings.

    Increases are against the model now served, and what can be chance, as far as 95% of it go, is not held
    against the new one: the fewer users there are, the more that is (`rating_errors.RmseIncrease`). Where the
    test split is too small for that, the first two bounds judge alone, and a model that keeps them is pushed
    with a warning: after a quiet day the new ratings are served too, and a broken model is still stopped.
    """

    max_rmse: float = 0.95  # of the whole test split where rows were drawn for it, above 0
    max_relative_rmse: float = 1.0  # of the whole test split, over that of the best constant, above 0
    max_rmse_increase: float = 0.003  # whole test split, above 0
    max_slice_rmse_increase: float = 0.03  # each slice, above 0
    min_slice_rows: int = 200  # test rows that a slice, or the whole split, needs to be judged, at least 1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"`{field.name}` must be positive, got {getattr(self, field.name)}")
