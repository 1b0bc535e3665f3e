"""Metrics, slices and thresholds of the evaluation."""

import dataclasses

from tensorflow_model_analysis.proto import config_pb2

from components.json_config import JsonConfig
from schema import features

RMSE = "rmse"
SLICES = (
    features.GENDER,
    features.AGE,
    features.OCCUPATION,
    features.GENRES,
    features.USER_ACTIVITY,
    features.MOVIE_ACTIVITY,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluatorConfig(JsonConfig):
    """When a model is good enough; all in ratings."""

    max_rmse: float = 0.95  # of the whole test split, above 0
    max_rmse_increase: float = 0.003  # against the model now served, whole test split, above 0
    max_slice_rmse_increase: float = 0.03  # the same for each slice, above 0
    min_slice_rows: int = 200  # test rows that a slice needs to be reported and judged, at least 1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"`{field.name}` must be positive, got {getattr(self, field.name)}")

    def eval_config(self) -> config_pb2.EvalConfig:
        """Return the configuration as TensorFlow Model Analysis takes it."""
        by_feature = [config_pb2.SlicingSpec(feature_keys=[feature.name]) for feature in SLICES]
        # `MetricConfig.threshold` would hold every slice to the overall bound.
        rmse = config_pb2.MetricConfig(
            class_name="RootMeanSquaredError",
            config=f'"name": "{RMSE}"',
            per_slice_thresholds=[
                config_pb2.PerSliceMetricThreshold(
                    slicing_specs=[config_pb2.SlicingSpec()],
                    threshold=config_pb2.MetricThreshold(
                        value_threshold=config_pb2.GenericValueThreshold(
                            upper_bound={"value": self.max_rmse}
                        ),
                        change_threshold=_at_most(self.max_rmse_increase),
                    ),
                ),
                config_pb2.PerSliceMetricThreshold(
                    slicing_specs=by_feature,
                    threshold=config_pb2.MetricThreshold(
                        change_threshold=_at_most(self.max_slice_rmse_increase)
                    ),
                ),
            ],
        )
        others = ("MeanAbsoluteError", "Calibration", "MeanLabel", "MeanPrediction", "ExampleCount")
        return config_pb2.EvalConfig(
            model_specs=[
                config_pb2.ModelSpec(label_key=features.LABEL.name, signature_name="serving_default")
            ],
            slicing_specs=[config_pb2.SlicingSpec(), *by_feature],
            metrics_specs=[
                config_pb2.MetricsSpec(
                    metrics=[rmse, *(config_pb2.MetricConfig(class_name=name) for name in others)]
                )
            ],
            options=config_pb2.Options(min_slice_size={"value": self.min_slice_rows}),
        )


def _at_most(increase: float) -> config_pb2.GenericChangeThreshold:
    return config_pb2.GenericChangeThreshold(
        direction=config_pb2.MetricDirection.LOWER_IS_BETTER, absolute={"value": increase}
    )
