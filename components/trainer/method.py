"""The methods that a model can be fitted by."""

import json

from components.gibbs.config import GibbsConfig
from components.trainer.config import TrainConfig

FitConfig = TrainConfig | GibbsConfig


def read_fit_config(text: str) -> FitConfig:
    """Return the configuration that `to_json` of either kind wrote.

    Raises:
      ValueError: as `JsonConfig.from_json`, or the method is none of these.
    """
    method = json.loads(text).get("method")
    for kind in (TrainConfig, GibbsConfig):
        if kind().method == method:
            return kind.from_json(text)
    raise ValueError(f"`method` must be that of a training, got {method!r}")
