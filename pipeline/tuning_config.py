"""What a search for hyperparameters is told."""

import dataclasses
from typing import Self

from components.gibbs.config import GibbsConfig
from pipeline.config import PipelineConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningConfig(PipelineConfig):
    """A search around the model and the training of the configuration; it pushes nothing.

    Raises:
      ValueError: a field is outside its range, or the model is not fitted by Gibbs sampling.
    """

    trials: int  # models that are fitted, at least 1; the first is the configuration's

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trials < 1:
            raise ValueError(f"`trials` must be at least 1, got {self.trials}")
        if not isinstance(self.train, GibbsConfig):
            raise ValueError(
                "only a model that is fitted by Gibbs sampling can be tuned, such as the preset 'best', "
                f"got one with a {type(self.train).__name__}"
            )

    @classmethod
    def of(cls, config: PipelineConfig, trials: int) -> Self:
        """Return the search around a run's configuration, in a folder of its own beside that run's."""
        fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        return cls(**{**fields, "root": config.root / "tuning"}, trials=trials)
