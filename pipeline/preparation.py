"""What every graph begins with: the nodes that make transformed examples of ratings."""

from typing import TypeVar

from ml_metadata.proto.metadata_store_pb2 import (  # type: ignore[attr-defined]
    ConnectionConfig,
    SqliteMetadataSourceConfig,
)
from tfx import components as tfx_components
from tfx import types
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base import base_node, executor_spec
from tfx.proto.transform_pb2 import SplitsConfig  # type: ignore[attr-defined]

from components.ratings_example_gen.component import RatingsExampleGen
from components.ratings_example_gen.split import SPLITS, TRAIN, VALID
from components.schema_gen.executor import Executor as SchemaGenExecutor
from pipeline.config import PipelineConfig
from pipeline.source_fingerprint import source_fingerprint
from schema import features

_Node = TypeVar("_Node", bound=base_node.BaseNode)


def ratings_example_gen(config: PipelineConfig) -> RatingsExampleGen:
    """Return the node that reads and divides the ratings."""
    node = RatingsExampleGen(
        str(config.data_folder),
        config.example_gen,
        run_date=config.run_date,
        window_days=config.window_days,
    )
    return with_fingerprint(node, "components.ratings_example_gen.component")


def import_schema_gen() -> ImportSchemaGen:
    """Return the node that brings in the reviewed schema."""
    node = ImportSchemaGen(schema_file=features.SCHEMA_PATH.name)
    node.executor_spec = executor_spec.ExecutorClassSpec(SchemaGenExecutor)
    return with_fingerprint(node, "schema.features", "components.schema_gen.executor")


def transform(
    config: PipelineConfig, examples: types.BaseChannel, schema: types.BaseChannel
) -> tfx_components.Transform:
    """Return the node that makes what the model reads; it analyzes the rows that are fitted."""
    fitted = [SPLITS[TRAIN], *([SPLITS[VALID]] if config.train.FITS_VALIDATION else [])]
    node = tfx_components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
        custom_config={"transform_config": config.transform.to_json()},
        splits_config=SplitsConfig(analyze=fitted, transform=[SPLITS[TRAIN], SPLITS[VALID]]),
        disable_statistics=True,  # StatisticsGen has those of the raw features
        disable_analyzer_cache=True,  # of examples that other ones replace in the next run
    )
    return with_fingerprint(node, "components.transform.preprocessing")


def metadata_connection(config: PipelineConfig) -> ConnectionConfig:
    """Return where ML Metadata keeps what was run; not by TFX's function, which makes the folder."""
    return ConnectionConfig(
        sqlite=SqliteMetadataSourceConfig(
            filename_uri=str(config.metadata),
            connection_mode=SqliteMetadataSourceConfig.READWRITE_OPENCREATE,
        )
    )


def with_fingerprint(node: _Node, *modules: str) -> _Node:
    """Return a node whose cache key holds the sources of the modules that it runs.

    TFX's cache knows modules by name only: an edit would re-use the old result.
    """
    node.exec_properties["source_fingerprint"] = source_fingerprint(*modules)
    return node
