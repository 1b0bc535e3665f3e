"""The ways in which a model can be fitted."""

import json

from components.gibbs.config import GibbsConfig
from components.trainer.config import TrainConfig

FitConfig = TrainConfig | GibbsConfig

_BY_METHOD: dict[str, type[FitConfig]] = {kind.method: kind for kind in (TrainConfig, GibbsConfig)}


def read_fit_config(text: str) -> FitConfig:
    """Return the configuration that `to_json` of either kind wrote.

    Raises:
      ValueError: as `JsonConfig.from_json`, or the method is none of these.
    """
    values = json.loads(text)
    method = values.get("method") if isinstance(values, dict) else None
    if method not in _BY_METHOD:
        raise ValueError(f"`method` must be one of {', '.join(map(repr, _BY_METHOD))}, got {method!r}")
    return _BY_METHOD[method].from_json(text)
