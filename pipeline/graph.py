"""The graph: what runs, in which order. Where it runs is the runner's matter."""

from tfx import components as tfx_components
from tfx.dsl.components.base import executor_spec
from tfx.orchestration import pipeline
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs  # type: ignore[attr-defined]

from components.data_gate.component import DataGate
from components.evaluator.eval_config import eval_config
from components.evaluator.executor import Executor as EvaluatorExecutor
from components.model_report.component import ModelReport
from components.model_report.config import DatasetFacts
from components.pusher.component import Pusher
from components.ratings_example_gen.config import SplitMethod
from components.ratings_example_gen.split import SPLITS, TEST, TRAIN, VALID
from components.served_model.component import ServedModel
from components.served_model.properties import SPLIT_IDENTITY
from components.serving_validator.component import ServingValidator
from components.trainer.executor import Executor as TrainerExecutor
from pipeline import preparation
from pipeline.config import PipelineConfig
from pipeline.source_fingerprint import source_fingerprint


def create_pipeline(config: PipelineConfig) -> pipeline.Pipeline:
    """Return the pipeline of a configuration; reads nothing but the project's own sources."""
    example_gen = preparation.ratings_example_gen(config)
    served_model = ServedModel(
        example_gen.outputs["examples"],
        serving_dir=str(config.serving),
        split_identity=config.example_gen.split_identity,
        split_by_time=config.example_gen.split is SplitMethod.TIME,
        training_config=" ".join(
            (
                config.example_gen.to_json(),
                config.transform.to_json(),
                config.model.to_json(),
                config.train.to_json(),
                source_fingerprint("schema.features"),
                source_fingerprint("components.ratings_example_gen.component"),
                source_fingerprint("components.transform.preprocessing"),
                source_fingerprint(config.train.RUN_FN),
            )
        ),
    )
    statistics_gen = tfx_components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = preparation.import_schema_gen()
    schema = schema_gen.outputs["schema"]
    example_validator = tfx_components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema
    )
    data_gate = DataGate(
        anomalies=example_validator.outputs["anomalies"],
        statistics=statistics_gen.outputs["statistics"],
        schema=schema,
        examples=example_gen.outputs["examples"],
        rejected_rows=example_gen.outputs["rejected_rows"],
        baseline_model=served_model.outputs["model"],
        config=config.data_gate,
        serving_dir=str(config.serving),
        accept_data=config.accept_data,
    )
    transform = preparation.transform(config, example_gen.outputs["examples"], schema)
    transform.add_upstream_node(data_gate)
    trainer = tfx_components.Trainer(
        run_fn=f"{config.train.RUN_FN}.run_fn",
        custom_executor_spec=executor_spec.ExecutorClassSpec(TrainerExecutor),
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        base_model=served_model.outputs["model"],
        train_args=TrainArgs(splits=[SPLITS[TRAIN]]),
        eval_args=EvalArgs(splits=[SPLITS[VALID]]),
        custom_config={
            "model_config": config.model.to_json(),
            "train_config": config.train.to_json(),
        },
    )
    evaluator = tfx_components.Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=served_model.outputs["model"],
        eval_config=eval_config(config.evaluator, of_days=config.example_gen.spans is not None),
        example_splits=[SPLITS[TEST]],
    )
    evaluator.executor_spec = executor_spec.BeamExecutorSpec(EvaluatorExecutor)
    serving_validator = ServingValidator(
        model=trainer.outputs["model"],
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        catalogue=example_gen.outputs["catalogue"],
        statistics=statistics_gen.outputs["statistics"],
        baseline_model=served_model.outputs["model"],
        config=config.serving_validator,
        manifest={
            "dataset": config.dataset,
            SPLIT_IDENTITY: config.example_gen.split_identity,
            "model_config": config.model.to_json(),
            "train_config": config.train.to_json(),
        },
    )
    pusher = Pusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_validator.outputs["blessing"],
        serving_dir=str(config.serving),
        keep_versions=config.keep_versions,
    )
    model_report = ModelReport(
        rejected_rows=example_gen.outputs["rejected_rows"],
        data_blessing=data_gate.outputs["data_blessing"],
        model_run=trainer.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        infra_blessing=serving_validator.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
        dataset=DatasetFacts(
            name=config.dataset, generated=config.generated, noise_floor_rmse=config.noise_floor_rmse
        ),
        example_gen_config=config.example_gen,
        run_date=config.run_date,
        window_days=config.window_days,
        model_config=config.model,
        train_config=config.train,
        evaluator_config=config.evaluator,
    )
    sources = {
        served_model: ["components.served_model.component"],
        data_gate: ["components.data_gate.component"],
        trainer: [config.train.RUN_FN],
        evaluator: ["components.evaluator.executor", "components.evaluator.eval_config"],
        serving_validator: ["components.serving_validator.component"],
        pusher: ["components.pusher.component"],
        model_report: ["components.model_report.component"],
    }
    for node, modules in sources.items():
        preparation.with_fingerprint(node, *modules)
    return pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.artifacts),
        components=[
            example_gen,
            served_model,
            statistics_gen,
            schema_gen,
            example_validator,
            data_gate,
            transform,
            trainer,
            evaluator,
            serving_validator,
            pusher,
            model_report,
        ],
        metadata_connection_config=preparation.metadata_connection(config),
        enable_cache=True,
        beam_pipeline_args=list(config.beam.args),
    )
