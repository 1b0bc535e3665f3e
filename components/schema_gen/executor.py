"""TFX's ImportSchemaGen, for a schema that lies elsewhere on each machine."""

from typing import Any

from tfx import types
from tfx.components.schema_gen.import_schema_gen import executor as import_schema_gen
from tfx.types import standard_component_specs

from schema import features


class Executor(import_schema_gen.Executor):
    """Copies the reviewed schema of the installation that the node runs in."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the schema; `schema_file` is its name beside `schema.features`."""
        name = exec_properties[standard_component_specs.SCHEMA_FILE_KEY]
        path = str(features.SCHEMA_PATH.with_name(name))
        super().Do(
            input_dict, output_dict, {**exec_properties, standard_component_specs.SCHEMA_FILE_KEY: path}
        )
