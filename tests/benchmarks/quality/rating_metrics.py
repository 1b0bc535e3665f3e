"""How good predicted ratings are: errors in stars, and how well they part high ratings from low ones."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import roc_auc_score

from schema import features

RMSE, MAE, AUC, AUC_WITHOUT_3, ROWS = "rmse", "mae", "auc", "auc_without_3", "rows"
OVERALL = "overall"
SLICES = {"cold users": features.USER_ACTIVITY, "cold movies": features.MOVIE_ACTIVITY}

HIGH = 4.0  # stars; a rating from there on is a positive
MIDDLE = 3.0  # stars; neither a positive nor a negative of `AUC_WITHOUT_3`


def cold(answers: pa.Table) -> dict[str, np.ndarray]:
    """Return which rows of `splits.ANSWERS` are of a cold user, and of a cold movie, bool[n]."""
    return {
        part: pc.equal(answers[activity.name], features.ACTIVITY_LEVELS[0]).to_numpy()
        for part, activity in SLICES.items()
    }


def by_slice(
    ratings: np.ndarray,
    predictions: np.ndarray,
    slices: Mapping[str, np.ndarray],
) -> dict[str, dict[str, float | int | None]]:
    """Return the metrics of all rows, and of each slice.

    Args:
      ratings: as given, in stars, float[n].
      predictions: in stars, float[n].
      slices: the rows of each, bool[n], by name.

    Raises:
      ValueError: there is not one finite prediction for each rating.
    """
    everything = np.ones(len(ratings), bool)
    return {
        name: _metrics(ratings[rows], checked(predictions, len(ratings))[rows])
        for name, rows in {OVERALL: everything, **slices}.items()
    }


def checked(predictions: np.ndarray, rows: int) -> np.ndarray:
    """Return the predictions.

    Raises:
      ValueError: they are not one finite number for each of the rows.
    """
    if predictions.shape != (rows,) or not np.isfinite(predictions).all():
        raise ValueError(
            f"{rows:,} finite predictions are needed, got shape {predictions.shape} with "
            f"{int(np.isfinite(predictions).sum()):,} finite ones"
        )
    return predictions


def _metrics(ratings: np.ndarray, predictions: np.ndarray) -> dict[str, float | int | None]:
    """Return the metrics of one slice; None where its rows do not define one."""
    errors = predictions - ratings
    decided = ratings != MIDDLE
    return {
        ROWS: len(ratings),
        RMSE: _rmse(errors),
        MAE: float(np.mean(np.abs(errors))) if len(errors) else None,
        AUC: _auc(ratings >= HIGH, predictions),
        AUC_WITHOUT_3: _auc(ratings[decided] > MIDDLE, predictions[decided]),
    }


def _rmse(errors: np.ndarray) -> float | None:
    """Return the root of the mean square; None where there is no row."""
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else None


def _auc(positive: np.ndarray, predictions: np.ndarray) -> float | None:
    """Return the area under the ROC curve; None where all rows are of one kind."""
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, predictions))
