"""The graph of a search for hyperparameters."""

from tfx import components as tfx_components
from tfx.orchestration import pipeline
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs  # type: ignore[attr-defined]

from components.ratings_example_gen.split import SPLITS, TRAIN, VALID
from pipeline import preparation
from pipeline.tuning_config import TuningConfig

_TUNER_FN = "components.gibbs.tuner_fn"  # its module


def create_tuning_pipeline(config: TuningConfig) -> pipeline.Pipeline:
    """Return the pipeline of a search; the rows of the test split go no further than RatingsExampleGen."""
    example_gen = preparation.ratings_example_gen(config)
    schema_gen = preparation.import_schema_gen()
    schema = schema_gen.outputs["schema"]
    transform = preparation.transform(config, example_gen.outputs["examples"], schema)
    tuner = tfx_components.Tuner(
        tuner_fn=f"{_TUNER_FN}.tuner_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=TrainArgs(splits=[SPLITS[TRAIN]]),
        eval_args=EvalArgs(splits=[SPLITS[VALID]]),
        custom_config={
            "model_config": config.model.to_json(),
            "train_config": config.train.to_json(),
            "trials": config.trials,
        },
    )
    preparation.with_fingerprint(tuner, _TUNER_FN)
    return pipeline.Pipeline(
        pipeline_name=f"{config.name}-tuning",
        pipeline_root=str(config.artifacts),
        components=[example_gen, schema_gen, transform, tuner],
        metadata_connection_config=preparation.metadata_connection(config),
        enable_cache=True,
        beam_pipeline_args=list(config.beam.args),
    )
