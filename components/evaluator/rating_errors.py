"""How far predicted ratings are from given ones: all metrics of TensorFlow Model Analysis in one pass.

TFMA's own metrics each take a row apart again for every slice that the row is in, and a rating is in eight
of them or more. Here a row is reduced to a few numbers once, before it is sliced; a slice then costs one sum.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants, types
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from schema import features

RMSE = "rmse"
MAE = "mean_absolute_error"
CALIBRATION = "calibration"
MEAN_RATING = "mean_label"
MEAN_PREDICTION = "mean_prediction"
ROWS = "example_count"
USER_GROUPS = "user_groups"
NAMES = (RMSE, MAE, CALIBRATION, MEAN_RATING, MEAN_PREDICTION, ROWS, USER_GROUPS)

RELATIVE_RMSE = "relative_rmse"
RMSE_INCREASE = "rmse_increase"
REPORTED = "reported"
JUDGED = "judged"

FEWEST_GROUPS = 8  # of users with rows, for a standard error that means something

_INCREASE = "unjudged_rmse_increase"
_GROUPS = 31  # of users; a prime, so that no pattern in the ids makes them differ
_ONE_SIDED_95 = 1.645  # standard errors
_TERMS = 7


class RatingErrors(metric_types.Metric):
    """Root mean squared and mean absolute error, means, calibration and count of rows.

    Formulas, over the n rows of a slice with rating y and prediction p, in stars:
        rmse = sqrt(sum (p - y)^2 / n), mean_absolute_error = sum |p - y| / n,
        mean_label = sum y / n, mean_prediction = sum p / n, calibration = sum p / sum y, example_count = n
    `USER_GROUPS` is how many of the groups of `RmseIncrease` the users of the rows are in.

    Args:
      name: has to be `RMSE`, the metric that a threshold in this metric's configuration holds.

    Raises:
      ValueError: another name.
    """

    def __init__(self, name: str = RMSE) -> None:
        if name != RMSE:
            raise ValueError(f"`name` must be {RMSE!r}, got {name!r}")
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


class RelativeRmse(metric_types.Metric):
    """`RMSE` over that of the best constant prediction, which is the standard deviation of the ratings.

    Unlike the RMSE, it says the same of an easy and of a hard day: at 1 the model is of no use. Where all
    ratings are equal it is infinite.

    Args:
      name: has to be `RELATIVE_RMSE`.

    Raises:
      ValueError: another name.
    """

    def __init__(self, name: str = RELATIVE_RMSE) -> None:
        if name != RELATIVE_RMSE:
            raise ValueError(f"`name` must be {RELATIVE_RMSE!r}, got {name!r}")
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


class RmseIncrease(metric_types.Metric):
    """By how much `RMSE` is above the served model's at least, with a confidence of 95%; one-sided.

    Formula, over G groups of users, d(g) being the difference of the two RMSEs without group g:
        d - 1.645 * sqrt((G - 1) / G * sum (d(g) - mean d)^2)

    The two models are compared on the same rows. The rows of one user are alike, so that users, not rows,
    are what was drawn; they are left out in groups, to keep what is summed small. `JUDGED` is 1, else 0 and
    the increase 0 with it: in a slice of too few rows, or of users in fewer than `FEWEST_GROUPS` groups, and
    where one of the models predicts no number, for which `RMSE` has a bound. `REPORTED` is 1 in a slice of
    enough rows. TFMA holds a threshold on every slice, and one that `Options.min_slice_size` hides fails as
    "Metric not found".

    Args:
      min_rows: rows that a slice needs to be reported and judged, at least 1.
      name: has to be `RMSE_INCREASE`.

    Raises:
      ValueError: another name, or `min_rows` is out of range.

    Reference:
      Wolter 2007, Introduction to Variance Estimation, chapter 4, the jackknife with groups.
    """

    def __init__(self, min_rows: int, name: str = RMSE_INCREASE) -> None:
        if name != RMSE_INCREASE:
            raise ValueError(f"`name` must be {RMSE_INCREASE!r}, got {name!r}")
        if min_rows < 1:
            raise ValueError(f"`min_rows` must be positive, got {min_rows}")
        super().__init__(
            metric_util.merge_per_key_computations(_judged_computations), name=name, min_rows=min_rows
        )


def _judged_computations(
    name: str, min_rows: int, eval_config: config_pb2.EvalConfig, model_name: str
) -> metric_types.MetricComputations:
    """Return the computations of `RatingErrors`, of which TFMA keeps one, and the choice on top of them."""
    key, reported, judged, increase, rows, groups = (
        metric_types.MetricKey(name=metric, model_name=model_name)
        for metric in (name, REPORTED, JUDGED, _INCREASE, ROWS, USER_GROUPS)
    )

    def result(metrics: dict[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, Any]:
        enough_rows = metrics[rows] >= min_rows
        enough = enough_rows and metrics[groups] >= FEWEST_GROUPS and math.isfinite(metrics[increase])
        return {
            key: metrics[increase] if enough else 0.0,
            reported: float(enough_rows),
            judged: float(enough),
        }

    return [
        *_computations(RMSE, eval_config, model_name),
        metric_types.DerivedMetricComputation(keys=[key, reported, judged], result=result),
    ]


def _computations(
    name: str, eval_config: config_pb2.EvalConfig, model_name: str
) -> metric_types.MetricComputations:
    """Return the computation of one model's metrics; TFMA gives the arguments by name."""
    del name  # it is one of those
    names = (*NAMES, RELATIVE_RMSE, _INCREASE)
    return [
        metric_types.MetricComputation(
            keys=[metric_types.MetricKey(name=key, model_name=model_name) for key in names],
            preprocessors=[_Terms(eval_config, model_name)],
            combiner=_Sums(model_name),
        )
    ]


class _Terms(metric_types.Preprocessor):
    """Reduces a row to what is summed."""

    def __init__(self, eval_config: config_pb2.EvalConfig, model_name: str) -> None:
        super().__init__(name=f"rating_errors_{model_name}")
        self._eval_config = eval_config
        self._model_name = model_name
        served = [spec.name for spec in eval_config.model_specs if spec.is_baseline]
        self._served = next((name for name in served if name != model_name), None)

    def process(self, extracts: types.Extracts) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the user's group, and [1, y, p, |p - y|, (p - y)^2, y^2, (s - y)^2], float64[7].

        s is what the served model predicts, or p where there is none.
        """
        inputs = metric_util.to_standard_metric_inputs(extracts)
        rating, predicted = self._rating(inputs, self._model_name)
        served = predicted if self._served is None else self._rating(inputs, self._served)[1]
        error = predicted - rating
        terms = [1.0, rating, predicted, abs(error), error * error, rating * rating, (served - rating) ** 2]
        uid = int(extracts[constants.FEATURES_KEY][features.UID.name].item())
        yield uid % _GROUPS, np.array(terms)

    def _rating(self, inputs: metric_types.StandardMetricInputs, model_name: str) -> tuple[float, float]:
        """Return the given and the predicted rating of the row."""
        label, prediction, _ = next(
            metric_util.to_label_prediction_example_weight(
                inputs, eval_config=self._eval_config, model_name=model_name
            )
        )
        return float(label.item()), float(prediction.item())


class _Sums(beam.CombineFn):
    """Adds up terms by group of users, float64[groups, terms], and makes metrics of the sums."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    def create_accumulator(self) -> np.ndarray:
        return np.zeros((_GROUPS, _TERMS))

    def add_input(self, accumulator: np.ndarray, element: tuple[int, np.ndarray]) -> np.ndarray:
        group, terms = element
        accumulator[group] += terms
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return np.sum(list(accumulators), axis=0)

    def extract_output(self, accumulator: np.ndarray) -> dict[metric_types.MetricKey, Any]:
        rows, ratings, predictions, absolute, squared, squares, _ = accumulator.sum(axis=0).tolist()
        variance = squares / rows - (ratings / rows) ** 2
        rmse = (squared / rows) ** 0.5
        values = {
            RMSE: rmse,
            MAE: absolute / rows,
            CALIBRATION: predictions / ratings,
            MEAN_RATING: ratings / rows,
            MEAN_PREDICTION: predictions / rows,
            ROWS: rows,
            USER_GROUPS: float((accumulator[:, 0] > 0).sum()),
            RELATIVE_RMSE: rmse / variance**0.5 if variance > 0 else math.inf,
            _INCREASE: _least_increase(accumulator),
        }
        return {
            metric_types.MetricKey(name=name, model_name=self._model_name): value
            for name, value in values.items()
        }


def _least_increase(sums: np.ndarray) -> float:
    """Return the formula of `RmseIncrease` for sums by group, float64[groups, terms]; NaN for one group."""
    groups = sums[sums[:, 0] > 0][:, [0, 4, 6]]
    if len(groups) == 1:
        return math.nan
    total = groups.sum(axis=0)
    without = total - groups
    increases = np.sqrt(without[:, 1] / without[:, 0]) - np.sqrt(without[:, 2] / without[:, 0])
    variance = (len(groups) - 1) * np.var(increases)
    increase = math.sqrt(total[1] / total[0]) - math.sqrt(total[2] / total[0])
    return float(increase - _ONE_SIDED_95 * math.sqrt(variance))
