"""The history that the training leaves: one line an epoch, or a sweep of the burn-in."""

import csv
import dataclasses
import os

from tfx.utils import io_utils

HISTORY_FILE = "history.csv"  # in the model run artifact, as Keras's CSVLogger writes it
TRAIN_RMSE, VALIDATION_RMSE, VALIDATION_MAE = "rmse", "val_rmse", "val_mae"
EPOCH, SWEEP = "epoch", "sweep"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What was measured in an epoch or sweep, in stars.

    Sweeps after a warm start began with a model that was fitted to validation rows too.
    """

    number: int  # from 1
    train_rmse: float  # while the weights move, and with dropout
    validation_rmse: float
    validation_mae: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """The steps of a training, at least one."""

    unit: str  # EPOCH or SWEEP
    steps: tuple[Step, ...]

    @property
    def kept(self) -> Step:
        """The step that the model is of.

        Of epochs it is the first of the lowest validation RMSE, whose weights were kept; of sweeps the
        last, for they choose nothing.
        """
        if self.unit == SWEEP:
            return self.steps[-1]
        return min(self.steps, key=lambda step: step.validation_rmse)

    @property
    def text(self) -> str:
        """The history in a few words."""
        if self.unit == SWEEP:
            return (
                f"validation RMSE {self.kept.validation_rmse:.4f} after {len(self.steps)} sweeps of burn-in"
            )
        return (
            f"best of {len(self.steps)} epochs is {self.kept.number}: "
            f"validation RMSE {self.kept.validation_rmse:.4f}"
        )


def read_history(folder: str) -> History:
    """Read the history of the model run artifact in a folder."""
    lines = io_utils.read_string_file(os.path.join(folder, HISTORY_FILE)).splitlines()
    rows = list(csv.DictReader(lines))
    unit = SWEEP if SWEEP in rows[0] else EPOCH
    return History(
        unit=unit,
        steps=tuple(
            Step(
                number=int(row[unit]) + 1,
                train_rmse=float(row[TRAIN_RMSE]),
                validation_rmse=float(row[VALIDATION_RMSE]),
                validation_mae=float(row[VALIDATION_MAE]),
            )
            for row in rows
        ),
    )
