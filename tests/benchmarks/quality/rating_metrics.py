"""How good predicted ratings are: errors in stars, and how well they part high ratings from low ones."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import roc_auc_score

from schema import features
from tests.benchmarks.quality.slices import OVERALL, Slice

RMSE, MAE, AUC, AUC_WITHOUT_3 = "rmse", "mae", "auc", "auc_without_3"
COLD = {
    "cold users": (features.UID, features.USER_ACTIVITY),
    "cold movies": (features.MID, features.MOVIE_ACTIVITY),
}

HIGH = 4.0  # stars; a rating from there on is a positive
MIDDLE = 3.0  # stars; neither a positive nor a negative of `AUC_WITHOUT_3`


def slices(questions: pa.Table, answers: pa.Table) -> dict[str, Slice]:
    """Return the slices of `splits.QUESTIONS`: all, those of cold users, those of cold movies."""
    cold = {
        name: Slice(
            pc.equal(answers[activity.name], features.ACTIVITY_LEVELS[0]).to_numpy(),
            questions[identity.name].to_numpy(),
        )
        for name, (identity, activity) in COLD.items()
    }
    return {OVERALL: Slice(np.ones(len(questions), bool), questions[features.UID.name].to_numpy()), **cold}


def by_slice(
    ratings: np.ndarray, predictions: np.ndarray, slices: Mapping[str, Slice]
) -> dict[str, dict[str, float | int | None]]:
    """Return the metrics of each slice.

    Args:
      ratings: as given, in stars, float[n].
      predictions: in stars, float[n].
      slices: by name.

    Raises:
      ValueError: there is not one finite prediction for each rating.
    """
    checked(predictions, len(ratings))
    return {
        name: part.counts() | _metrics(ratings[part.rows], predictions[part.rows])
        for name, part in slices.items()
    }


def checked(predictions: np.ndarray, rows: int) -> np.ndarray:
    """Return the predictions, if they are whole.

    Raises:
      ValueError: they are not one finite number for each of the rows.
    """
    if predictions.shape != (rows,) or not np.isfinite(predictions).all():
        raise ValueError(
            f"{rows:,} finite predictions are needed, got shape {predictions.shape} with "
            f"{int(np.isfinite(predictions).sum()):,} finite ones"
        )
    return predictions


def _metrics(ratings: np.ndarray, predictions: np.ndarray) -> dict[str, float | None]:
    """Return the metrics of one slice; None where its rows do not define one."""
    errors = predictions - ratings
    decided = ratings != MIDDLE
    return {
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
