"""The training that TFX's Trainer hosts."""

import dataclasses
import os
from collections.abc import Sequence

import keras
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.io import fileio

from components import progress
from components.deepfm.config import DeepFMConfig
from components.deepfm.fields import CategoricalField, NumericField
from components.deepfm.model import build_model
from components.served_model.properties import BASELINE_VERSION
from components.trainer import warm_start
from components.trainer.batches import Batches
from components.trainer.config import TrainConfig
from components.trainer.executor import COLD_REASON
from components.trainer.export import export
from components.trainer.history import HISTORY_FILE, VALIDATION_RMSE
from components.trainer.start import Start
from schema import features

KERAS_MODEL_PATH = os.path.join("assets.extra", "model.keras")


def run_fn(fn_args: FnArgs) -> None:
    """Train the configured model and export it.

    Args:
      fn_args: from TFX. `custom_config` holds `model_config` and `train_config` as JSON, and what the
        executor says of `base_model`, whose weights the training begins with where they fit. The SavedModel
        goes to `serving_model_dir`, with the Keras model and what a warm start needs in its assets.extra;
        the TensorBoard logs, the history and the start go to `model_run_dir`.

    Raises:
      RunStoppedError: what the base model carries for a warm start is damaged.
    """
    model_config = DeepFMConfig.from_json(fn_args.custom_config["model_config"])
    config = TrainConfig.from_json(fn_args.custom_config["train_config"])
    keras.utils.set_random_seed(config.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    spec = transform_output.transformed_feature_spec()
    needed = {
        name: spec[name]
        for name in (
            *(f.index_name for f in features.CATEGORICAL if f.name in model_config.categorical),
            *(f.z_score_name for f in features.NUMERIC if f.name in model_config.numeric),
            features.LABEL.name,
        )
    }
    train = Batches(
        fn_args.train_files,
        needed,
        batch_size=config.batch_size,
        block_rows=config.block_rows,
        seed=config.seed,
    )
    valid = Batches(
        fn_args.eval_files, needed, batch_size=4 * config.batch_size, block_rows=config.block_rows
    )
    progress.report(0.0, "reading the examples")
    rating_mean, rows = train.mean_label()
    fields = categorical_fields(transform_output)
    vocabularies = {
        feature.name: transform_output.vocabulary_by_name(feature.vocabulary_name)
        for feature in features.CATEGORICAL
    }
    model = build_model(
        model_config,
        fields,
        [NumericField(name=f.name, input_name=f.z_score_name) for f in features.NUMERIC],
        rating_mean=rating_mean,
        seed=config.seed,
    )
    start = _begin(model, model_config, config, fields, vocabularies, fn_args)
    progress.report(0.0, start.text)
    fileio.makedirs(fn_args.model_run_dir)
    start.write(fn_args.model_run_dir)
    if start.version is not None:
        config = dataclasses.replace(config, epochs=config.warm_epochs)
    steps = -(-rows // config.batch_size)
    model.compile(
        optimizer=_optimizer(config, steps),
        loss="mse",
        metrics=[
            keras.metrics.RootMeanSquaredError(name="rmse"),
            # keras.metrics.MeanAbsoluteError averages over the last axis first, which here is the batch.
            keras.metrics.MeanMetricWrapper(absolute_errors, name="mae"),
        ],
    )
    # Else Keras does it while it traces the first step, and has to trace that again.
    model.optimizer.build(model.trainable_variables)
    model.fit(
        train.dataset(),
        validation_data=valid.dataset(),
        epochs=config.epochs,
        shuffle=False,  # Batches does
        verbose=0,
        callbacks=[
            # First: the others are to see the averaged weights.
            *([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if config.averaging_epochs else []),
            keras.callbacks.EarlyStopping(
                VALIDATION_RMSE, mode="min", patience=config.patience, restore_best_weights=True
            ),
            keras.callbacks.TensorBoard(fn_args.model_run_dir),
            keras.callbacks.CSVLogger(os.path.join(fn_args.model_run_dir, HISTORY_FILE)),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: progress.report(
                    (epoch + 1) / config.epochs,
                    f"epoch {epoch + 1}, at most {config.epochs}: "
                    f"validation RMSE {logs[VALIDATION_RMSE]:.4f}",
                )
            ),
        ],
    )
    export(model, transform_output, fn_args.serving_model_dir)
    keras_path = os.path.join(fn_args.serving_model_dir, KERAS_MODEL_PATH)
    fileio.makedirs(os.path.dirname(keras_path))
    model.save(keras_path)
    taken = warm_start.snapshot(model, model_config, vocabularies)
    warm_start.write(taken, fn_args.serving_model_dir)


def _begin(
    model: keras.Model,
    model_config: DeepFMConfig,
    config: TrainConfig,
    fields: Sequence[CategoricalField],
    vocabularies: warm_start.Vocabularies,
    fn_args: FnArgs,
) -> Start:
    """Give the model the weights of the base model if there is one and it fits."""
    if config.cold:
        return Start(version=None, reason="asked for")
    if fn_args.base_model is None:
        return Start(version=None, reason=fn_args.custom_config[COLD_REASON])
    version = fn_args.custom_config[BASELINE_VERSION]
    try:
        served = warm_start.read(fn_args.base_model)
        entries = warm_start.take_over(model, model_config, fields, vocabularies, served, config.warm_share)
    except warm_start.DoesNotFitError as error:
        return Start(version=None, reason=f"version {version} does not fit: {error}")
    return Start(version=version, entries=entries)


@keras.saving.register_keras_serializable(package="deepfm")
def absolute_errors(ratings: keras.KerasTensor, predictions: keras.KerasTensor) -> keras.KerasTensor:
    """Return the absolute error of each row, float32[batch], from two float32[batch]."""
    return keras.ops.abs(ratings - predictions)


def _optimizer(config: TrainConfig, steps_per_epoch: int) -> keras.Optimizer:
    """Return Adam, averaging over the configured number of epochs whatever the size of the data."""
    if not config.averaging_epochs:
        return keras.optimizers.Adam(config.learning_rate)
    steps = max(1.0, config.averaging_epochs * steps_per_epoch)
    return keras.optimizers.Adam(config.learning_rate, use_ema=True, ema_momentum=1 - 1 / steps)


def categorical_fields(transform_output: tft.TFTransformOutput) -> list[CategoricalField]:
    """Return the categorical fields with the sizes that the transform graph found."""
    spec = transform_output.transformed_feature_spec()
    return [
        CategoricalField(
            name=feature.name,
            index_name=feature.index_name,
            vocabulary_size=transform_output.vocabulary_size_by_name(feature.vocabulary_name),
            oov_buckets=feature.oov_buckets,
            length=(spec[feature.index_name].shape or [1])[0],
        )
        for feature in features.CATEGORICAL
    ]
