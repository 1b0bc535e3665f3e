"""What the report says of the dataset, which no artifact knows."""

import dataclasses

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetFacts(JsonConfig):
    """What kind of ratings the model learned from."""

    name: str
    generated: bool  # drawn by a program, not given by people
    noise_floor_rmse: float | None  # stars; no model can expect less; None where it is not known
