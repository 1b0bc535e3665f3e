"""Where a search for hyperparameters looks: around a preset."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import keras_tuner

from components.deepfm.config import DeepFMConfig
from components.gibbs.config import GibbsConfig

MODEL_FIELDS: Final = ("embedding_dim", "hidden_units", "dropout_rate")
"""Fields of the model's configuration that are searched."""
TRAIN_FIELDS: Final = ("implicit_rank", "history_shrinkage", "deep_learning_rate", "deep_share")
"""Fields of the sampling's configuration that are searched."""

_SIZES = (0.5, 1.0, 1.5)  # of the preset's: the cost of a trial stays of the preset's order
_RATES = (0.25, 0.5, 1.0, 2.0, 4.0)


def search_space(model: DeepFMConfig, train: GibbsConfig) -> keras_tuner.HyperParameters:
    """Return the hyperparameters, each a choice of plain values; the default is the preset's.

    Hidden layers are a text, as "128, 64".

    Args:
      model: the preset's.
      train: the preset's.
    """
    space = keras_tuner.HyperParameters()

    def choice(name: str, values: Iterable[Any], default: Any) -> None:
        space.Choice(name, sorted({*values, default}), default=default)

    own = model.embedding_dim // model.chains
    choice("embedding_dim", (model.chains * _size(own, factor) for factor in _SIZES), model.embedding_dim)
    choice("implicit_rank", (_size(train.implicit_rank, factor) for factor in _SIZES), train.implicit_rank)
    widths = ([_size(units, factor) for units in model.hidden_units] for factor in _SIZES)
    choice("hidden_units", map(_text, widths), _text(model.hidden_units))
    choice("dropout_rate", (0.0, 0.1, 0.2, 0.3), model.dropout_rate)
    for name, rate in (
        ("history_shrinkage", train.history_shrinkage),
        ("deep_learning_rate", train.deep_learning_rate),
    ):
        choice(name, (rate * factor for factor in _RATES), rate)
    choice("deep_share", (0.25, 0.5, 1.0), train.deep_share)
    return space


def configurations(
    values: Mapping[str, Any], model: DeepFMConfig, train: GibbsConfig
) -> tuple[DeepFMConfig, GibbsConfig]:
    """Return a preset's configurations at a point of its search space."""
    found = {**values, "hidden_units": tuple(map(int, values["hidden_units"].split(", ")))}
    return (
        dataclasses.replace(model, **{name: found[name] for name in MODEL_FIELDS}),
        dataclasses.replace(train, **{name: found[name] for name in TRAIN_FIELDS}),
    )


def _size(size: int, factor: float) -> int:
    return math.ceil(size * factor)


def _text(units: Iterable[int]) -> str:
    return ", ".join(map(str, units))
