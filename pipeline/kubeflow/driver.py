"""A node's driver in a container: what it reads outside the graph becomes execution properties.

As the `preCacheCheck` of a task, it is run by Vertex AI before the cache is looked up. Open-source Kubeflow
Pipelines does not run it; there the entry point does, right before the executor.
"""

import argparse
import os
import sys

from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import (  # type: ignore[attr-defined]
    ComponentInputsSpec,
    ExecutorInput,
    ExecutorOutput,
)
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
from tfx.orchestration.portable import data_types
from tfx.utils import import_utils

from pipeline.kubeflow import artifact_types


def run_driver(
    driver_class_path: str,
    executor_input: ExecutorInput,
    inputs_spec: ComponentInputsSpec,
) -> None:
    """Run a driver and write what it says to the task's output file, where TFX's executor looks for it.

    Args:
      driver_class_path: import path of the driver.
      executor_input: of the task; its input artifacts have types.
      inputs_spec: types of the task's parameters.
    """
    driver = import_utils.import_class_by_path(driver_class_path)(None)  # there is no ML Metadata to ask
    found = driver.run(
        data_types.ExecutionInfo(
            input_dict=kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(executor_input.inputs.artifacts),
            exec_properties=kubeflow_v2_entrypoint_utils.parse_execution_properties(
                executor_input.inputs.parameter_values, executor_input.inputs.parameters, inputs_spec
            ),
        )
    )
    output = ExecutorOutput()
    for name, value in found.exec_properties.items():
        if value.WhichOneof("value") == "string_value":
            output.parameter_values[name].string_value = value.string_value
        else:
            output.parameter_values[name].number_value = value.int_value
    path = executor_input.outputs.output_file
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "w") as file:
        file.write(json_format.MessageToJson(output, sort_keys=True))


def main(arguments: list[str]) -> None:
    """Run the driver of a task that has not begun."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    flags = parser.parse_args(arguments)
    artifact_types.register()
    run_driver(
        flags.driver_class_path,
        json_format.Parse(
            flags.json_serialized_invocation_args,
            ExecutorInput(),
            ignore_unknown_fields=True,
        ),
        json_format.Parse(flags.json_serialized_inputs_spec_args, ComponentInputsSpec()),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
