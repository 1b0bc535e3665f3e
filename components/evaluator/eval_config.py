"""Metrics, slices and thresholds as TensorFlow Model Analysis takes them."""

import json

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


def eval_config(config: EvaluatorConfig) -> config_pb2.EvalConfig:
    """Return the configuration as TensorFlow Model Analysis takes it."""
    by_feature = [config_pb2.SlicingSpec(feature_keys=[feature.name]) for feature in SLICES]
    whole = config_pb2.MetricConfig(
        class_name=rating_errors.RatingErrors.__name__,
        module=rating_errors.__name__,
        per_slice_thresholds=[  # `threshold` would hold every slice to the overall bound
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[config_pb2.SlicingSpec()],
                threshold=config_pb2.MetricThreshold(
                    value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": config.max_rmse}),
                    change_threshold=_at_most(config.max_rmse_increase),
                ),
            )
        ],
    )
    slices = config_pb2.MetricConfig(
        class_name=rating_errors.JudgedRmse.__name__,
        module=rating_errors.__name__,
        config=json.dumps({"min_rows": config.min_slice_rows}),
        per_slice_thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=by_feature,
                threshold=config_pb2.MetricThreshold(
                    change_threshold=_at_most(config.max_slice_rmse_increase)
                ),
            )
        ],
    )
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key=features.LABEL.name, signature_name="serving_default")],
        slicing_specs=[config_pb2.SlicingSpec(), *by_feature],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[whole, slices])],
        options=config_pb2.Options(include_default_metrics={"value": False}),  # a count, which is there
    )


def _at_most(increase: float) -> config_pb2.GenericChangeThreshold:
    return config_pb2.GenericChangeThreshold(
        direction=config_pb2.MetricDirection.LOWER_IS_BETTER, absolute={"value": increase}
    )
