"""The ServingValidator node."""

import json
from collections.abc import Mapping

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.ratings_example_gen.artifacts import Catalogue
from components.serving_validator.config import ServingValidatorConfig
from components.serving_validator.executor import Executor


class ServingValidatorSpec(types.ComponentSpec):
    """Inputs, outputs and parameters of ServingValidator."""

    PARAMETERS = {
        "validator_config": ExecutionParameter(type=str),
        "manifest": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "catalogue": ChannelParameter(type=Catalogue),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingValidator(base_component.BaseComponent):
    """Validate the export where InfraValidator would need Docker.

    Args:
      model: of Trainer, with the Keras model in its assets.extra.
      examples: raw examples; rows of the test split are asked for.
      transform_graph: that the model was trained on.
      catalogue: of RatingsExampleGen; travels with the version.
      statistics: of StatisticsGen; those of the training split travel with the version.
      baseline_model: of ServedModel; the manifest records what the version was compared with.
      config: the bounds.
      manifest: what the version's manifest.json says beside what this node and the Pusher add.

    Outputs:
      blessing: holds the complete version, with warm-up requests, catalogue, statistics and manifest; Pusher
        publishes it as it is.
    """

    SPEC_CLASS = ServingValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        catalogue: types.BaseChannel,
        statistics: types.BaseChannel,
        baseline_model: types.BaseChannel,
        config: ServingValidatorConfig,
        manifest: Mapping[str, str],
    ) -> None:
        super().__init__(
            spec=ServingValidatorSpec(
                model=model,
                examples=examples,
                transform_graph=transform_graph,
                catalogue=catalogue,
                statistics=statistics,
                baseline_model=baseline_model,
                validator_config=config.to_json(),
                manifest=json.dumps(manifest, sort_keys=True),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
