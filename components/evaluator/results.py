"""What an evaluation says: the metrics of each slice, and whether the model is blessed."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any, Self

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx.utils import io_utils

from components.evaluator import rating_errors

COMPARISON_FILE = "comparison.json"  # in the evaluation artifact
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
    baseline_rmse: float | None  # of the served model on the same rows; None where it was not asked
    judged: bool  # whether there were enough rows and users for the change against the served model

    @property
    def name(self) -> str:
        """`feature=value`, or `overall`."""
        return _name([(self.feature, self.value)] if self.feature else [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether the model was compared with the served one, and if not, why."""

    version: int | None  # that was served; None where none was
    reason: str  # why it was not compared with; "" where it was

    @property
    def left_out(self) -> bool:
        """Whether there was a served model, and the new one was not compared with it."""
        return self.version is not None and bool(self.reason)

    @property
    def text(self) -> str:
        """The same for people."""
        if not self.reason:
            return f"compared with version {self.version}"
        alone = "judged by the absolute bound alone"
        if self.version is None:
            return f"{self.reason}: {alone}"
        return f"not compared with version {self.version}: {self.reason}; {alone}"

    def write(self, folder: str) -> None:
        """Write it into the folder of an evaluation artifact."""
        io_utils.write_string_file(
            os.path.join(folder, COMPARISON_FILE), json.dumps(dataclasses.asdict(self))
        )

    @classmethod
    def read(cls, folder: str) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(io_utils.read_string_file(os.path.join(folder, COMPARISON_FILE))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the Evaluator found."""

    overall: SliceMetrics
    slices: tuple[SliceMetrics, ...]  # in no order; without those of too few rows
    blessed: bool
    reasons: tuple[str, ...]  # why it is not blessed
    comparison: Comparison


def why_not_judged(folder: str) -> str:
    """Return why the change of the whole test split was not judged; "" where it was.

    Args:
      folder: of an evaluation that compared with a served model.
    """
    result = tfma.load_eval_result(folder)
    overall = next(metrics[""][""] for key, metrics in result.slicing_metrics if not key)
    if _value(overall, rating_errors.JUDGED):
        return ""
    rows, groups = (int(_value(overall, name)) for name in (rating_errors.ROWS, rating_errors.USER_GROUPS))
    if not _value(overall, rating_errors.REPORTED):
        return f"{rows:,} test rows, {_min_rows(result.config):,} are needed"
    if groups < rating_errors.FEWEST_GROUPS:
        return f"test rows of too few users (in {groups} groups, {rating_errors.FEWEST_GROUPS} are needed)"
    return "one of the two predicts no number for a test row"


def _min_rows(config: config_pb2.EvalConfig) -> int:
    """Return the rows that `RmseIncrease` needs."""
    metrics = (metric for spec in config.metrics_specs for metric in spec.metrics)
    increase = next(m for m in metrics if m.class_name == rating_errors.RmseIncrease.__name__)
    return int(json.loads(increase.config)["min_rows"])


def read_evaluation(folder: str) -> Evaluation:
    """Read the evaluation artifact in a folder."""
    found = [
        _slice_metrics(key, metrics[""][""])
        for key, metrics in tfma.load_eval_result(folder).slicing_metrics
        if not key or _value(metrics[""][""], rating_errors.REPORTED)
    ]
    validation = tfma.load_validation_result(folder)
    reasons = [
        f"{_name_of_proto(failed.slice_key)}: {_reason(failure)}"
        for failed in validation.metric_validations_per_slice
        for failure in failed.failures
    ]
    reasons += [
        f"{OVERALL}: no test row has `{feature}`, by which it is to be judged"
        for missing in validation.missing_slices
        for feature in missing.feature_keys
    ]
    return Evaluation(
        overall=next(s for s in found if not s.feature),
        slices=tuple(s for s in found if s.feature),
        blessed=validation.validation_ok,
        reasons=tuple(dict.fromkeys(reasons)),  # two bounds may fail for one reason
        comparison=Comparison.read(folder),
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
        judged=bool(_value(metrics, rating_errors.JUDGED)),
    )


def _value(metrics: Mapping[str, Any], name: str) -> float:
    """Return a metric's value; NaN where it was not computed, as a difference without a baseline."""
    # As JSON has it: "NaN" and "Infinity" are text.
    return float(metrics.get(name, {}).get("doubleValue", math.nan))


def _reason(failure: Any) -> str:
    """Return what is wrong with a metric; TFMA gives a message instead of the value of a missing one."""
    name = failure.metric_key.name
    if failure.message or not failure.HasField("metric_value"):
        return f"{name}: {failure.message.strip()}"
    value = failure.metric_value.double_value.value
    allowed = failure.metric_threshold.value_threshold.upper_bound.value
    if math.isnan(value):
        return "the model predicts no number for a test row"
    if name == rating_errors.RELATIVE_RMSE and math.isinf(value):
        return "all ratings are equal, so that no model can be better than the best constant prediction"
    return _REASONS[name].format(value=value, allowed=allowed)


def _name(pairs: list[tuple[str, Any]]) -> str:
    return ",".join(f"{feature}={value}" for feature, value in pairs) or OVERALL


def _name_of_proto(key: Any) -> str:
    pairs = [(k.column, getattr(k, k.WhichOneof("kind"))) for k in key.single_slice_keys]
    return _name([(c, v.decode() if isinstance(v, bytes) else v) for c, v in pairs])
