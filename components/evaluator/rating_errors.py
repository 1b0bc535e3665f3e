"""How far predicted ratings are from given ones: all metrics of TensorFlow Model Analysis in one pass.

TFMA's own metrics each take a row apart again for every slice that the row is in, and a rating is in eight
of them or more. Here a row is reduced to five numbers once, before it is sliced; a slice then costs one sum.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import types
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

RMSE = "rmse"
MAE = "mean_absolute_error"
CALIBRATION = "calibration"
MEAN_RATING = "mean_label"
MEAN_PREDICTION = "mean_prediction"
ROWS = "example_count"
NAMES = (RMSE, MAE, CALIBRATION, MEAN_RATING, MEAN_PREDICTION, ROWS)

JUDGED_RMSE = "judged_rmse"


class RatingErrors(metric_types.Metric):
    """Root mean squared and mean absolute error, means, calibration and count of rows.

    Formulas, over the n rows of a slice with rating y and prediction p, in stars:
        rmse = sqrt(sum (p - y)^2 / n), mean_absolute_error = sum |p - y| / n,
        mean_label = sum y / n, mean_prediction = sum p / n, calibration = sum p / sum y, example_count = n

    Args:
      name: has to be `RMSE`, the metric that a threshold in this metric's configuration holds.

    Raises:
      ValueError: another name.
    """

    def __init__(self, name: str = RMSE) -> None:
        if name != RMSE:
            raise ValueError(f"`name` must be {RMSE!r}, got {name!r}")
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


class JudgedRmse(metric_types.Metric):
    """`RMSE` of a slice of enough rows to be judged, 0 of the others.

    TFMA holds a threshold on every slice, and a slice that `Options.min_slice_size` hides fails it as
    "Metric not found". Of two models, 0 and 0 differ by nothing.

    Args:
      min_rows: rows that a slice needs to be judged, at least 1.
      name: has to be `JUDGED_RMSE`.

    Raises:
      ValueError: another name, or `min_rows` is out of range.
    """

    def __init__(self, min_rows: int, name: str = JUDGED_RMSE) -> None:
        if name != JUDGED_RMSE:
            raise ValueError(f"`name` must be {JUDGED_RMSE!r}, got {name!r}")
        if min_rows < 1:
            raise ValueError(f"`min_rows` must be positive, got {min_rows}")
        super().__init__(
            metric_util.merge_per_key_computations(_judged_computations), name=name, min_rows=min_rows
        )


def _judged_computations(
    name: str, min_rows: int, eval_config: config_pb2.EvalConfig, model_name: str
) -> metric_types.MetricComputations:
    """Return the computations of `RatingErrors`, of which TFMA keeps one, and the choice on top of them."""
    key, rmse, rows = (
        metric_types.MetricKey(name=metric, model_name=model_name) for metric in (name, RMSE, ROWS)
    )

    def result(metrics: dict[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, Any]:
        return {key: metrics[rmse] if metrics[rows] >= min_rows else 0.0}

    return [
        *_computations(RMSE, eval_config, model_name),
        metric_types.DerivedMetricComputation(keys=[key], result=result),
    ]


def _computations(
    name: str, eval_config: config_pb2.EvalConfig, model_name: str
) -> metric_types.MetricComputations:
    """Return the computation of one model's metrics; TFMA gives the arguments by name."""
    del name  # it is RMSE
    keys = [metric_types.MetricKey(name=key, model_name=model_name) for key in NAMES]
    return [
        metric_types.MetricComputation(
            keys=keys, preprocessors=[_Terms(eval_config, model_name)], combiner=_Sums(model_name)
        )
    ]


class _Terms(metric_types.Preprocessor):
    """Reduces a row to what is summed."""

    def __init__(self, eval_config: config_pb2.EvalConfig, model_name: str) -> None:
        super().__init__(name=f"rating_errors_{model_name}")
        self._eval_config = eval_config
        self._model_name = model_name

    def process(self, extracts: types.Extracts) -> Iterator[np.ndarray]:
        """Yield [1, y, p, |p - y|, (p - y)^2], float64[5]."""
        inputs = metric_util.to_standard_metric_inputs(extracts)
        for label, prediction, _ in metric_util.to_label_prediction_example_weight(
            inputs, eval_config=self._eval_config, model_name=self._model_name
        ):
            rating, predicted = float(label.item()), float(prediction.item())
            error = predicted - rating
            yield np.array([1.0, rating, predicted, abs(error), error * error])


class _Sums(beam.CombineFn):
    """Adds up terms, and makes metrics of the sums."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    def create_accumulator(self) -> np.ndarray:
        return np.zeros(5)

    def add_input(self, accumulator: np.ndarray, element: np.ndarray) -> np.ndarray:
        return accumulator + element

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return np.sum(list(accumulators), axis=0)

    def extract_output(self, accumulator: np.ndarray) -> dict[metric_types.MetricKey, Any]:
        rows, ratings, predictions, absolute, squared = accumulator.tolist()
        values = {
            RMSE: (squared / rows) ** 0.5,
            MAE: absolute / rows,
            CALIBRATION: predictions / ratings,
            MEAN_RATING: ratings / rows,
            MEAN_PREDICTION: predictions / rows,
            ROWS: rows,
        }
        return {
            metric_types.MetricKey(name=name, model_name=self._model_name): value
            for name, value in values.items()
        }
