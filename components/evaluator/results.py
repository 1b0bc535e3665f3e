"""What an evaluation says: the metrics of each slice, and whether the model is blessed."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tfx.utils import io_utils

from components.evaluator import rating_errors

BASELINE_FILE = "baseline.txt"  # in the evaluation artifact: what was compared with, for people
_REASONS = {
    rating_errors.RMSE: "rmse is {value:.4f}, at most {allowed:.4f} allowed",
    rating_errors.RELATIVE_RMSE: "rmse is {value:.3f} times that of the best constant prediction, "
    "at most {allowed:g} allowed",
    rating_errors.RMSE_INCREASE: "rmse is at least {value:.4f} above the served model's (95% sure), "
    "at most {allowed:.4f} allowed",
}
OVERALL = "overall"  # name of the slice that is the whole test split


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceMetrics:
    """The metrics of the test rows whose feature has a value; ratings are in stars."""

    feature: str  # "" for the whole test split
    value: str | int | float  # "" for the whole test split
    rows: int
    rmse: float
    mae: float
    calibration: float  # mean prediction over mean rating; 1 is right
    mean_rating: float
    mean_prediction: float
    baseline_rmse: float | None  # of the served model on the same rows; None where none was compared with

    @property
    def name(self) -> str:
        """`feature=value`, or `overall`."""
        return _name([(self.feature, self.value)] if self.feature else [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the Evaluator found."""

    overall: SliceMetrics
    slices: tuple[SliceMetrics, ...]  # in no order; without those of too few rows
    blessed: bool
    reasons: tuple[str, ...]  # why it is not blessed
    baseline: str  # what was compared with, for people


def read_evaluation(folder: str) -> Evaluation:
    """Read the evaluation artifact in a folder."""
    found = [
        _slice_metrics(key, metrics[""][""])
        for key, metrics in tfma.load_eval_result(folder).slicing_metrics
        if not key or _value(metrics[""][""], rating_errors.JUDGED)
    ]
    validation = tfma.load_validation_result(folder)
    reasons = [
        f"{_name_of_proto(failed.slice_key)}: {_reason(failure)}"
        for failed in validation.metric_validations_per_slice
        for failure in failed.failures
    ]
    return Evaluation(
        overall=next(s for s in found if not s.feature),
        slices=tuple(s for s in found if s.feature),
        blessed=validation.validation_ok,
        reasons=tuple(reasons),
        baseline=io_utils.read_string_file(os.path.join(folder, BASELINE_FILE)),
    )


def _slice_metrics(key: tuple[tuple[str, Any], ...], metrics: Mapping[str, Any]) -> SliceMetrics:
    feature, value = key[0] if key else ("", "")
    rmse, difference = _value(metrics, rating_errors.RMSE), _value(metrics, f"{rating_errors.RMSE}_diff")
    return SliceMetrics(
        feature=feature,
        value=value,
        rows=int(_value(metrics, rating_errors.ROWS)),
        rmse=rmse,
        mae=_value(metrics, rating_errors.MAE),
        calibration=_value(metrics, rating_errors.CALIBRATION),
        mean_rating=_value(metrics, rating_errors.MEAN_RATING),
        mean_prediction=_value(metrics, rating_errors.MEAN_PREDICTION),
        baseline_rmse=None if math.isnan(difference) else rmse - difference,
    )


def _value(metrics: Mapping[str, Any], name: str) -> float:
    """Return a metric's value; NaN where it was not computed, as a difference without a baseline."""
    return metrics.get(name, {}).get("doubleValue", math.nan)


def _reason(failure: Any) -> str:
    """Return what is wrong with a metric; TFMA gives a message instead of the value of a missing one."""
    name = failure.metric_key.name
    if failure.message or not failure.HasField("metric_value"):
        return f"{name}: {failure.message.strip()}"
    value = failure.metric_value.double_value.value
    allowed = failure.metric_threshold.value_threshold.upper_bound.value
    return _REASONS[name].format(value=value, allowed=allowed)


def _name(pairs: list[tuple[str, Any]]) -> str:
    return ",".join(f"{feature}={value}" for feature, value in pairs) or OVERALL


def _name_of_proto(key: Any) -> str:
    pairs = [(k.column, getattr(k, k.WhichOneof("kind"))) for k in key.single_slice_keys]
    return _name([(c, v.decode() if isinstance(v, bytes) else v) for c, v in pairs])
