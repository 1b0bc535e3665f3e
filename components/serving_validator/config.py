"""What a model must keep to be served."""

import dataclasses

from components.json_config import JsonConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingValidatorConfig(JsonConfig):
    """Bounds on parity, latency and size, and how much is asked."""

    tolerance: float = 1e-5  # largest absolute difference from the training graph, in ratings
    rows: int = 1000  # raw rows of the test split to compare on, at least 1
    oversized_rows: int = 20_000  # of the largest batch that must be answered
    max_predict_ms: float = 250.0  # median of a `predict` of one row, in milliseconds
    max_rank_ms: float = 1000.0  # median of a `rank` of the whole catalogue, in milliseconds
    max_bytes: int = 2 << 30  # of the SavedModel's folder
    max_seconds: float = 600.0  # until the fresh process has answered everything
    warmup_requests: int = 20  # of each signature, at most 300

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"`{field.name}` must be positive, got {value}")
        if self.warmup_requests > 300:
            raise ValueError(f"`warmup_requests` must be at most 300, got {self.warmup_requests}")
