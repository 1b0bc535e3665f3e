"""The history that the training leaves: one line an epoch."""

import csv
import dataclasses
import os
from collections.abc import Sequence

from tfx.utils import io_utils

HISTORY_FILE = "history.csv"  # in the model run artifact, as Keras's CSVLogger writes it
VALIDATION_RMSE = "val_rmse"
HISTORY_COLUMNS = ("epoch", "rmse", VALIDATION_RMSE, "val_mae")  # that are read of it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
    """What was measured in an epoch, in stars."""

    number: int  # from 1
    train_rmse: float  # while the weights move, and with dropout
    validation_rmse: float
    validation_mae: float


def read_history(folder: str) -> tuple[Epoch, ...]:
    """Read the epochs of the model run artifact in a folder."""
    lines = io_utils.read_string_file(os.path.join(folder, HISTORY_FILE)).splitlines()
    return tuple(
        Epoch(
            number=int(row["epoch"]) + 1,
            train_rmse=float(row["rmse"]),
            validation_rmse=float(row[VALIDATION_RMSE]),
            validation_mae=float(row["val_mae"]),
        )
        for row in csv.DictReader(lines)
    )


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """Return the epoch whose weights were kept: the first of the lowest validation RMSE."""
    return min(epochs, key=lambda epoch: epoch.validation_rmse)
