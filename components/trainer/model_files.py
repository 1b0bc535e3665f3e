"""The files that a training begins with, and those that it leaves."""

import os

import keras
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.io import fileio

from components import progress
from components.deepfm.config import DeepFMConfig
from components.served_model.properties import BASELINE_VERSION
from components.trainer import warm_start
from components.trainer.executor import COLD_REASON
from components.trainer.export import export
from components.trainer.start import Start
from components.trainer.transformed import Transformed

KERAS_MODEL_PATH = os.path.join("assets.extra", "model.keras")
KERAS_ORDER_PATH = os.path.join("assets.extra", "order.keras")  # of a model whose `rank` has its own score


def begin(
    model: keras.Model,
    config: DeepFMConfig,
    transformed: Transformed,
    fn_args: FnArgs,
    *,
    cold: bool,
    share: float,
) -> Start:
    """Give a new model the weights of the base model if there is one and it fits; say and note which.

    Args:
      model: of `build_model`.
      config: that it was built with.
      transformed: the same.
      fn_args: from TFX; `custom_config` holds what the executor says of `base_model`.
      cold: take nothing over.
      share: as in `warm_start.take_over`.

    Raises:
      RunStoppedError: what the base model carries for a warm start is damaged.
    """
    start = _take_over(model, config, transformed, fn_args, cold, share)
    progress.report(0.0, start.text)
    fileio.makedirs(fn_args.model_run_dir)
    start.write(fn_args.model_run_dir)
    return start


def write(
    model: keras.Model,
    config: DeepFMConfig,
    transformed: Transformed,
    folder: str,
    order: keras.Model | None = None,
) -> None:
    """Write the SavedModel of a trained model, with the Keras models and what a warm start needs."""
    export(model, transformed.output, folder, order)
    keras_path = os.path.join(folder, KERAS_MODEL_PATH)
    fileio.makedirs(os.path.dirname(keras_path))
    model.save(keras_path)
    if order is not None:
        order.save(os.path.join(folder, KERAS_ORDER_PATH))
    warm_start.write(warm_start.snapshot(model, config, transformed.vocabularies), folder)


def _take_over(
    model: keras.Model,
    config: DeepFMConfig,
    transformed: Transformed,
    fn_args: FnArgs,
    cold: bool,
    share: float,
) -> Start:
    if cold:
        return Start(version=None, reason="asked for")
    if fn_args.base_model is None:
        return Start(version=None, reason=fn_args.custom_config[COLD_REASON])
    version = fn_args.custom_config[BASELINE_VERSION]
    try:
        served = warm_start.read(fn_args.base_model)
        entries = warm_start.take_over(
            model, config, transformed.categorical, transformed.vocabularies, served, share
        )
    except warm_start.DoesNotFitError as error:
        return Start(version=None, reason=f"version {version} does not fit: {error}")
    return Start(version=version, entries=entries)
