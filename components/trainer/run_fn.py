"""The training that TFX's Trainer hosts."""

import dataclasses
import os

import keras
from tfx.components.trainer.fn_args_utils import FnArgs

from components import progress
from components.deepfm.config import DeepFMConfig
from components.deepfm.model import build_model
from components.trainer.batches import Batches
from components.trainer.config import TrainConfig
from components.trainer.history import HISTORY_FILE, VALIDATION_RMSE
from components.trainer.model_files import begin, write
from components.trainer.transformed import Transformed


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
    transformed = Transformed(fn_args.transform_graph_path)
    needed = transformed.spec(model_config)
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
    model = build_model(
        model_config,
        transformed.categorical,
        transformed.numeric,
        rating_mean=rating_mean,
        seed=config.seed,
    )
    start = begin(model, model_config, transformed, fn_args, cold=config.cold, share=config.warm_share)
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
    write(model, model_config, transformed, fn_args.serving_model_dir)


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
