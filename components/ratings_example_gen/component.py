"""The RatingsExampleGen node."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.ratings_example_gen.artifacts import INPUT_FINGERPRINT, INPUTS, Catalogue, RejectedRows
from components.ratings_example_gen.config import ExampleGenConfig
from components.ratings_example_gen.driver import Driver
from components.ratings_example_gen.executor import Executor


class RatingsExampleGenSpec(types.ComponentSpec):
    """Inputs, outputs and parameters of RatingsExampleGen."""

    PARAMETERS = {
        "input_base": ExecutionParameter(type=str),
        "example_gen_config": ExecutionParameter(type=str),
        # What each run is told anew:
        "run_date": ExecutionParameter(type=str),
        "lag_days": ExecutionParameter(type=int),
        "window_days": ExecutionParameter(type=int),
        # Set by the driver:
        INPUT_FINGERPRINT: ExecutionParameter(type=str, optional=True),
        INPUTS: ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {}
    OUTPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "rejected_rows": ChannelParameter(type=RejectedRows),
        "catalogue": ChannelParameter(type=Catalogue),
    }


class RatingsExampleGen(base_beam_component.BaseBeamComponent):
    """Ingest a MovieLens folder, or a window of a folder of days: parse, join, reject, split.

    Args:
      input_base: folder that holds ratings.dat, movies.dat and users.dat, or folders of days as
        spans.py describes them, where the configuration says which days to read.
      config: how to split and how much to tolerate.
      run_date: of a folder of days, as 2000-12-31; "" of a flat dataset, or if the runner gets it.
      window_days: days to train on; 0 for all.

    Outputs:
      examples: tf.Examples with the features of `schema.features.EXAMPLE`, splits train, valid and
        test.
      rejected_rows: every line that was not accepted, with its reason, and the counts.
      catalogue: all accepted users and movies, and who has rated what, whatever the split.
    """

    SPEC_CLASS = RatingsExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, input_base: str, config: ExampleGenConfig, *, run_date: str, window_days: int) -> None:
        super().__init__(
            spec=RatingsExampleGenSpec(
                input_base=input_base,
                example_gen_config=config.to_json(),
                run_date=run_date,
                lag_days=0,
                window_days=window_days,
                examples=types.Channel(type=standard_artifacts.Examples),
                rejected_rows=types.Channel(type=RejectedRows),
                catalogue=types.Channel(type=Catalogue),
            )
        )
