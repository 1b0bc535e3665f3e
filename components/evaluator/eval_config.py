"""Metrics, slices and thresholds as TensorFlow Model Analysis takes them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator import rating_errors
from components.evaluator.config import EvaluatorConfig
from schema import features

SLICES = (
    features.GENDER,
    features.AGE,
    features.OCCUPATION,
    features.GENRES,
    features.USER_ACTIVITY,
    features.MOVIE_ACTIVITY,
)


def eval_config(config: EvaluatorConfig, *, of_days: bool) -> config_pb2.EvalConfig:
    """Return the configuration as TensorFlow Model Analysis takes it.

    Args:
      config: the thresholds.
      of_days: whether the test rows are those of an evaluation span. How hard they are depends on the days,
        and on how many of their users are new: then `max_rmse` holds nothing.
    """
    by_feature = [config_pb2.SlicingSpec(feature_keys=[feature.name]) for feature in SLICES]
    overall = [config_pb2.SlicingSpec()]
    errors = _metric(rating_errors.RatingErrors, {}, [] if of_days else [(config.max_rmse, overall)])
    relative = _metric(rating_errors.RelativeRmse, {}, [(config.max_relative_rmse, overall)])
    increase = _metric(
        rating_errors.RmseIncrease,
        {"min_rows": config.min_slice_rows},
        [(config.max_rmse_increase, overall), (config.max_slice_rmse_increase, by_feature)],
    )
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key=features.LABEL.name, signature_name="serving_default")],
        slicing_specs=[*overall, *by_feature],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[errors, relative, increase])],
        options=config_pb2.Options(include_default_metrics={"value": False}),  # a count, which is there
    )


def _metric(
    kind: type[metric_types.Metric],
    arguments: Mapping[str, Any],
    bounds: Sequence[tuple[float, Sequence[config_pb2.SlicingSpec]]],
) -> config_pb2.MetricConfig:
    """Return a metric with upper bounds, each for some slices; `threshold` would hold every slice."""
    return config_pb2.MetricConfig(
        class_name=kind.__name__,
        module=kind.__module__,
        config=json.dumps(arguments),
        per_slice_thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=slices,
                threshold=config_pb2.MetricThreshold(
                    value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": bound})
                ),
            )
            for bound, slices in bounds
        ],
    )
