"""The ServedModel node."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.served_model.driver import Driver
from components.served_model.executor import Executor


class ServedModelSpec(types.ComponentSpec):
    """Outputs and parameters of ServedModel."""

    PARAMETERS = {
        "serving_dir": ExecutionParameter(type=str),
        "split_identity": ExecutionParameter(type=str),
        "served_version": ExecutionParameter(type=int, optional=True),  # set by the driver
        "served_fingerprint": ExecutionParameter(type=str, optional=True),  # set by the driver
    }
    INPUTS = {}
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class ServedModel(base_component.BaseComponent):
    """Copy the served version into an artifact, as it stands when the run starts.

    In place of a Resolver: what is compared against is what is really being served, after a rollback
    too, and open-source Kubeflow runs it.

    Args:
      serving_dir: folder of the model's numbered versions; may be missing or empty.
      split_identity: how this run divides its rows. A served model that was trained on another division
        may have seen this run's test rows, so it is no fair baseline.

    Outputs:
      model: the served SavedModel; empty, with `served_version` 0, where there is none.
    """

    SPEC_CLASS = ServedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, serving_dir: str, split_identity: str) -> None:
        super().__init__(
            spec=ServedModelSpec(
                serving_dir=serving_dir,
                split_identity=split_identity,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
