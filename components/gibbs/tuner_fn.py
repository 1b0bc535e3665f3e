"""The search for hyperparameters that TFX's Tuner hosts."""

from typing import Any

import keras
import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import RandomSearchOracle
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components import progress
from components.deepfm.config import DeepFMConfig
from components.gibbs.config import GibbsConfig
from components.gibbs.examples import Examples
from components.gibbs.fit import fit, new_model
from components.gibbs.rmse import rmse
from components.gibbs.search_space import configurations, search_space
from components.trainer.history import VALIDATION_RMSE
from schema import features

_PREDICT_ROWS = 16_384  # at once


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Return a search around a configuration for the lowest validation RMSE.

    The same seed gives the same trials and scores.

    Args:
      fn_args: from TFX. `custom_config` holds `model_config` and `train_config` as JSON, whose seed is that
        of the search and of each trial, and `trials`, how many there are; `working_dir` gets the histories.

    Raises:
      ValueError: a row is of an id outside the vocabulary, or an entry of the vocabulary has no row.
    """
    model_config = DeepFMConfig.from_json(fn_args.custom_config["model_config"])
    config = GibbsConfig.from_json(fn_args.custom_config["train_config"])
    progress.report(0.0, "reading the examples")
    oracle = PresetFirst(
        objective=keras_tuner.Objective(VALIDATION_RMSE, "min"),
        max_trials=fn_args.custom_config["trials"],
        hyperparameters=search_space(model_config, config),
        # An oracle takes 0 for none, and draws one.
        seed=config.seed + 1,
    )
    tuner = GibbsTuner(oracle, model_config, config, directory=fn_args.working_dir)
    return TunerFnResult(tuner=tuner, fit_kwargs={"examples": Examples.read(fn_args, model_config)})


class PresetFirst(RandomSearchOracle):
    """Tries the defaults first, then points at random.

    Reference:
      Bergstra and Bengio 2012, Random Search for Hyper-Parameter Optimization,
      https://jmlr.org/papers/v13/bergstra12a.html.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of a trial, and that it can start."""
        if not self.trials:
            return {
                "status": TrialStatus.RUNNING,
                "values": {hp.name: hp.default for hp in self.hyperparameters.space},
            }
        return super().populate_space(trial_id)


class GibbsTuner(base_tuner.BaseTuner):
    """Fits each trial's model to the training rows alone, and asks it for the validation rows.

    Args:
      oracle: chooses the trials.
      model_config: that the search is around.
      config: the same.
      directory: gets a folder for each trial, with the history of its burn-in.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        model_config: DeepFMConfig,
        config: GibbsConfig,
        *,
        directory: str,
    ) -> None:
        super().__init__(oracle, directory=directory, project_name="search")
        self._model_config = model_config
        self._config = config

    def run_trial(self, trial: Trial, *, examples: Examples) -> dict[str, float]:
        """Return the validation RMSE, in stars, of the whole model: factorization machine, drift and deep.

        Raises:
          FatalError: the fit failed; other trials would hide that.
        """
        try:
            return {VALIDATION_RMSE: self._score(trial, examples)}
        except Exception as error:
            raise keras_tuner.errors.FatalError(
                f"trial {int(trial.trial_id) + 1} failed: {type(error).__name__}: {error}"
            ) from error

    def _score(self, trial: Trial, examples: Examples) -> float:
        trials, number = self.oracle.max_trials, int(trial.trial_id)
        model_config, config = configurations(trial.hyperparameters.values, self._model_config, self._config)
        keras.utils.clear_session()
        ratings = examples.ratings(examples.train)
        model = new_model(examples, ratings, model_config, config.seed)
        fit(
            model,
            examples,
            ratings,
            model_config,
            config,
            warm=False,
            folder=self.get_trial_dir(trial.trial_id),
            report=lambda share, text: progress.report(
                (number + share) / trials, f"trial {number + 1} of {trials}, {text}"
            ),
        )
        valid = examples.valid
        said = model.predict({name: valid[name] for name in model.input}, _PREDICT_ROWS, verbose=0)
        return rmse(said.ravel() - valid[features.LABEL.name])
