"""The ModelReport node."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.data_gate.artifacts import DataBlessing
from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.fit_config import FitConfig
from components.model_report import artifacts
from components.model_report.config import DatasetFacts
from components.model_report.executor import Executor
from components.ratings_example_gen.artifacts import RejectedRows
from components.ratings_example_gen.config import ExampleGenConfig


class ModelReportSpec(types.ComponentSpec):
    """Inputs, outputs and parameters of ModelReport."""

    PARAMETERS = {
        "dataset": ExecutionParameter(type=str),
        "example_gen_config": ExecutionParameter(type=str),
        "run_date": ExecutionParameter(type=str),
        "lag_days": ExecutionParameter(type=int),
        "window_days": ExecutionParameter(type=int),
        "model_config": ExecutionParameter(type=str),
        "train_config": ExecutionParameter(type=str),
        "evaluator_config": ExecutionParameter(type=str),
    }
    INPUTS = {
        "rejected_rows": ChannelParameter(type=RejectedRows),
        "data_blessing": ChannelParameter(type=DataBlessing),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS = {"report": ChannelParameter(type=artifacts.ModelReport)}


class ModelReport(base_component.BaseComponent):
    """Write what a person wants to know of a run, whether its model was pushed or not.

    Args:
      rejected_rows: of RatingsExampleGen; holds the counts of rows.
      data_blessing: of DataGate; holds its report.
      model_run: of Trainer; holds the history.
      evaluation: of Evaluator.
      infra_blessing: of ServingValidator; holds its report.
      pushed_model: of Pusher; says if and as which version the model was pushed.
      dataset: what the ratings are.
      example_gen_config: how they were split.
      run_date: as RatingsExampleGen has it.
      window_days: as RatingsExampleGen has it.
      model_config: the model.
      train_config: its training.
      evaluator_config: the bounds that it was held to.

    Outputs:
      report: report.html and model_card.md.
    """

    SPEC_CLASS = ModelReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        rejected_rows: types.BaseChannel,
        data_blessing: types.BaseChannel,
        model_run: types.BaseChannel,
        evaluation: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        pushed_model: types.BaseChannel,
        *,
        dataset: DatasetFacts,
        example_gen_config: ExampleGenConfig,
        run_date: str,
        window_days: int,
        model_config: DeepFMConfig,
        train_config: FitConfig,
        evaluator_config: EvaluatorConfig,
    ) -> None:
        super().__init__(
            spec=ModelReportSpec(
                rejected_rows=rejected_rows,
                data_blessing=data_blessing,
                model_run=model_run,
                evaluation=evaluation,
                infra_blessing=infra_blessing,
                pushed_model=pushed_model,
                dataset=dataset.to_json(),
                example_gen_config=example_gen_config.to_json(),
                run_date=run_date,
                lag_days=0,
                window_days=window_days,
                model_config=model_config.to_json(),
                train_config=train_config.to_json(),
                evaluator_config=evaluator_config.to_json(),
                report=types.Channel(type=artifacts.ModelReport),
            )
        )
