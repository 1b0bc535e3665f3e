"""The sampling that TFX's Trainer hosts."""

import numpy as np
from tfx.components.trainer.fn_args_utils import FnArgs

from components import progress
from components.choice.order import fit_order
from components.deepfm.config import DeepFMConfig
from components.gibbs.config import GibbsConfig
from components.gibbs.examples import Examples
from components.gibbs.fit import fit, new_model
from components.trainer.model_files import begin, write

_SAMPLING_SHARE = 0.8  # of the progress; the rest is the order's


def run_fn(fn_args: FnArgs) -> None:
    """Sample the configured model and export the mean of the samples.

    Args:
      fn_args: from TFX. `custom_config` holds `model_config` and `train_config` as JSON, and what the
        executor says of `base_model`, with whose vectors the chain begins where they fit. The SavedModel
        goes to `serving_model_dir`, with the Keras model and what a warm start needs in its assets.extra;
        the TensorBoard logs, the history of the burn-in and the start go to `model_run_dir`.

    Raises:
      RunStoppedError: what the base model carries for a warm start is damaged.
      ValueError: the vocabularies are not of the rows that are fitted, as `Examples.read`.
    """
    model_config = DeepFMConfig.from_json(fn_args.custom_config["model_config"])
    config = GibbsConfig.from_json(fn_args.custom_config["train_config"])
    progress.report(0.0, "reading the examples")
    examples = Examples.read(fn_args, model_config)
    ratings = examples.ratings(examples.both)
    model = new_model(examples, ratings, model_config, config.seed)
    start = begin(model, model_config, examples.transformed, fn_args, cold=config.cold, share=1.0)
    fit(
        model,
        examples,
        ratings,
        model_config,
        config,
        warm=start.version is not None,
        folder=fn_args.model_run_dir,
        report=lambda share, text: progress.report(_SAMPLING_SHARE * share, text),
    )
    order = fit_order(
        examples.both,
        [field for field in examples.transformed.categorical if field.name in model_config.categorical],
        dim=config.choice_dim,
        epochs=config.choice_epochs,
        learning_rate=config.choice_learning_rate,
        rating_weight=config.choice_rating_weight,
        rng=np.random.default_rng([config.seed, 1]),  # another stream than the chain's
        on_epoch=lambda epoch, loss: progress.report(
            _SAMPLING_SHARE + (1 - _SAMPLING_SHARE) * epoch / config.choice_epochs,
            f"order, epoch {epoch} of {config.choice_epochs}: loss {loss:.4f}",
        ),
    )
    write(model, model_config, examples.transformed, fn_args.serving_model_dir, order)
