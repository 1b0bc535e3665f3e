"""The Pusher node."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.pusher.driver import Driver
from components.pusher.executor import Executor
from serving import versions


class PusherSpec(types.ComponentSpec):
    """Inputs, outputs and parameters of Pusher."""

    PARAMETERS = {
        "serving_dir": ExecutionParameter(type=str),
        "keep_versions": ExecutionParameter(type=int),
        versions.PUBLICATION: ExecutionParameter(type=str, optional=True),  # set by the driver
    }
    INPUTS = {
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}


class Pusher(base_component.BaseComponent):
    """TFX's Pusher, atomic, and run again where its model is not the latest version of the serving folder.

    With TFX's own parameters the folder would lie inside a message, out of reach of a pipeline's parameters.

    Args:
      model_blessing: of Evaluator.
      infra_blessing: of ServingValidator; holds the complete version.
      serving_dir: folder of the model's numbered versions.
      keep_versions: how many of the newest versions stay, at least 1.

    Outputs:
      pushed_model: says if and as which version the model was pushed.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        *,
        serving_dir: str,
        keep_versions: int,
    ) -> None:
        super().__init__(
            spec=PusherSpec(
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                serving_dir=serving_dir,
                keep_versions=keep_versions,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
