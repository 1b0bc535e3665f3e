"""The ServedModel node."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.served_model.driver import Driver
from components.served_model.executor import Executor


class ServedModelSpec(types.ComponentSpec):
    """Inputs, outputs and parameters of ServedModel."""

    PARAMETERS = {
        "serving_dir": ExecutionParameter(type=str),
        "split_identity": ExecutionParameter(type=str),
        "split_by_time": ExecutionParameter(type=int),
        "training_config": ExecutionParameter(type=str),
        # Set by the driver:
        "baseline_version": ExecutionParameter(type=int, optional=True),
        "baseline_fingerprint": ExecutionParameter(type=str, optional=True),
        "training_identity": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class ServedModel(base_component.BaseComponent):
    """Copy the served version into an artifact: what this run begins with and is compared with.

    In place of a Resolver: what is compared against is what is really being served, after a rollback
    too, and open-source Kubeflow runs it. Where this very run already pushed what is served (the same
    data, configuration and code), the baseline is again the one of that time, so that a repeated run
    gives the same result.

    Args:
      examples: of RatingsExampleGen.
      serving_dir: folder of the model's numbered versions; may be missing or empty.
      split_identity: how this run divides its rows. A served model that was trained on another division
        may have seen this run's test rows, so it is no fair baseline and no fair start.
      split_by_time: whether the test rows are the latest ones. Then a served model that was trained on
        later ratings than this run may have seen them too. Of a folder of
        days the dates decide instead: a served model is fair if all its training days lie before this
        run's evaluation span, that is, if its own evaluation span began no later.
      training_config: all that the training depends on beside the examples.

    Outputs:
      model: the served SavedModel; empty, with `baseline_version` 0, where there is none.
    """

    SPEC_CLASS = ServedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        examples: types.BaseChannel,
        *,
        serving_dir: str,
        split_identity: str,
        split_by_time: bool,
        training_config: str,
    ) -> None:
        super().__init__(
            spec=ServedModelSpec(
                examples=examples,
                serving_dir=serving_dir,
                split_identity=split_identity,
                split_by_time=int(split_by_time),
                training_config=training_config,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
