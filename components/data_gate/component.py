"""The DataGate node."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.data_gate.artifacts import DataBlessing
from components.data_gate.config import DataGateConfig
from components.data_gate.driver import REQUESTS_FINGERPRINT, Driver
from components.data_gate.executor import ACCEPT_DATA, Executor
from components.ratings_example_gen.artifacts import RejectedRows


class DataGateSpec(types.ComponentSpec):
    """Inputs, outputs and parameters of DataGate."""

    PARAMETERS = {
        "data_gate_config": ExecutionParameter(type=str),
        "serving_dir": ExecutionParameter(type=str),
        ACCEPT_DATA: ExecutionParameter(type=bool),  # what each run is told anew
        REQUESTS_FINGERPRINT: ExecutionParameter(type=str, optional=True),  # set by the driver
    }
    INPUTS = {
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "rejected_rows": ChannelParameter(type=RejectedRows),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"data_blessing": ChannelParameter(type=DataBlessing)}


class DataGate(base_component.BaseComponent):
    """Let the run go on only if the data fits the schema and is like what it was before.

    What it was before: what the served version was trained on; of a folder of days also the days before
    each new one.

    Args:
      anomalies: of ExampleValidator, all splits.
      statistics: of StatisticsGen.
      schema: the reviewed schema, with the comparators of drift and skew.
      examples: of RatingsExampleGen; the test split is the newest rows.
      rejected_rows: of RatingsExampleGen; holds the facts of each day.
      baseline_model: of ServedModel; holds the statistics of what it was trained on.
      config: the bounds, and which of them stop the run.
      serving_dir: folder of the model's numbered versions, beside which servers log requests.
      accept_data: whether no finding stops the run, whatever the configuration says.

    Outputs:
      data_blessing: present only if the gate is open.
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        anomalies: types.BaseChannel,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        examples: types.BaseChannel,
        rejected_rows: types.BaseChannel,
        baseline_model: types.BaseChannel,
        config: DataGateConfig,
        *,
        serving_dir: str,
        accept_data: bool,
    ) -> None:
        super().__init__(
            spec=DataGateSpec(
                anomalies=anomalies,
                statistics=statistics,
                schema=schema,
                examples=examples,
                rejected_rows=rejected_rows,
                baseline_model=baseline_model,
                data_gate_config=config.to_json(),
                serving_dir=serving_dir,
                accept_data=accept_data,
                data_blessing=types.Channel(type=DataBlessing),
            )
        )
