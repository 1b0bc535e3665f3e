"""What a search for hyperparameters found."""

import dataclasses
import json
import os
from typing import Any

from tfx.utils import io_utils

_RESULTS_FILE = "tuner_results.json"  # of TFX's Tuner, in its tuner results artifact


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A model that was fitted and asked for the validation rows."""

    number: int  # from 1, in the order of the search
    validation_rmse: float  # in stars
    hyperparameters: dict[str, Any]  # by name


def read_trials(folder: str) -> list[Trial]:
    """Read the trials from the folder of the tuner results artifact, the best first."""
    rows = json.loads(io_utils.read_string_file(os.path.join(folder, _RESULTS_FILE)))
    trials = [
        Trial(number=int(row.pop("trial_id")) + 1, validation_rmse=row.pop("score"), hyperparameters=row)
        for row in rows
    ]
    return sorted(trials, key=lambda trial: (trial.validation_rmse, trial.number))
