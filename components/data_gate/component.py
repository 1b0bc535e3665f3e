"""The DataGate node."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter

from components.data_gate.artifacts import DataBlessing
from components.data_gate.executor import Executor


class DataGateSpec(types.ComponentSpec):
    """Inputs and outputs of DataGate."""

    PARAMETERS = {}
    INPUTS = {"anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies)}
    OUTPUTS = {"data_blessing": ChannelParameter(type=DataBlessing)}


class DataGate(base_component.BaseComponent):
    """Let the run go on only if ExampleValidator found nothing.

    Args:
      anomalies: of ExampleValidator, all splits.

    Outputs:
      data_blessing: present only if the gate is open.
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, anomalies: types.BaseChannel) -> None:
        super().__init__(
            spec=DataGateSpec(anomalies=anomalies, data_blessing=types.Channel(type=DataBlessing))
        )
