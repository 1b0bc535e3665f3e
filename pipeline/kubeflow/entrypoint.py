"""What a task's container runs: TFX's executor, after what open-source Kubeflow Pipelines leaves undone.

TFX 1.21 relies on things that Vertex AI does and the open-source back end does not
(https://github.com/tensorflow/tfx/issues/7768):

- input artifacts come with their types; here the types are those of the task's specification;
- drivers run before the cache is looked up; here a driver runs before the executor, if nobody ran it;
- outputs are those of the task; since release 2.5 there is one for the log too, of a type that TFX cannot
  import, which is left to the back end;
- TFX can open the address of an artifact. The open-source back end moves files itself, between an object
  store that TFX may know nothing of (`minio://`) and a folder of the container; here TFX gets the folder.

On a back end that does all of it, the entry point changes nothing.
"""

import argparse
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import botocore.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
from absl import logging as absl_logging
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import (  # type: ignore[attr-defined]
    ComponentInputsSpec,
    ExecutorInput,
)
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

from components.errors import RunStoppedError
from components.ratings_example_gen.parse import REJECTED_SCHEMA
from pipeline.beam_errors import own_words
from pipeline.kubeflow import artifact_types
from pipeline.kubeflow.driver import run_driver

_LOCAL_RUNNER = "FnApiRunner"  # of Beam
_REJECTED_LINES = 20  # that the log shows
_REJECTED_BYTES = 200  # of each


def restore_types(executor_input: ExecutorInput, inputs_spec: ComponentInputsSpec) -> None:
    """Give each input artifact that came without a type the one of the task's specification."""
    for name, artifacts in executor_input.inputs.artifacts.items():
        for artifact in artifacts.artifacts:
            kind = artifact.type.WhichOneof("kind")
            if kind is None or not getattr(artifact.type, kind):
                artifact.type.CopyFrom(inputs_spec.artifacts[name].artifact_type)


def leave_out_foreign_outputs(executor_input: ExecutorInput, outputs: Iterable[str]) -> None:
    """Drop the outputs that the task's specification does not have."""
    for name in executor_input.outputs.artifacts.keys() - set(outputs):
        del executor_input.outputs.artifacts[name]


def use_local_copies(
    executor_input: ExecutorInput, input_paths: dict[str, str], output_paths: dict[str, str]
) -> dict[str, str]:
    """Let artifacts lie where the back end copies them to and from.

    A back end that does so also takes the output file from the container; one that does not, as Vertex AI,
    gives an address for it.

    Args:
      executor_input: of the task.
      input_paths: path in the container by name of the input.
      output_paths: path in the container by name of the output.

    Returns:
      The true address by path, of those that are copied.
    """
    if "://" in executor_input.outputs.output_file:
        return {}
    addresses = {}
    for part, paths in ((executor_input.inputs, input_paths), (executor_input.outputs, output_paths)):
        for name, path in paths.items():
            (artifact,) = part.artifacts[name].artifacts
            if artifact.uri != path:
                addresses[path] = artifact.uri
                artifact.uri = path
    for path in output_paths.values():
        os.makedirs(path, exist_ok=True)
    return addresses


def report_addresses(output_file: str, addresses: dict[str, str]) -> None:
    """Put the true addresses of artifacts into what the executor reported.

    Properties hold them too, such as that of the model that was evaluated.
    """
    with fileio.open(output_file) as file:
        report = file.read()
    for path, address in addresses.items():
        report = report.replace(path, address)
    with fileio.open(output_file, "w") as file:
        file.write(report)


def tell_rejected(error: RunStoppedError, *, copied: bool) -> None:
    """Log where the lines are that stopped a run; the first of them if a back end copies the outputs.

    Such a back end leaves the outputs of a task that failed in its container.
    """
    if not error.rejected_rows:
        return
    if not copied:
        logging.error(error.kept)
        return
    columns = ["file", "line", "reason", "text"]
    first = REJECTED_SCHEMA.empty_table().select(columns)
    for path in Path(error.rejected_rows).glob("*.parquet"):
        read = pa.concat_tables([first, pq.read_table(path, columns=columns)])
        first = read.sort_by([("file", "ascending"), ("line", "ascending")]).slice(0, _REJECTED_LINES)
    listed = "".join(
        f"\n  {row['file']}, line {row['line']}: {row['reason']}, {row['text'][:_REJECTED_BYTES]!r}"
        for row in first.to_pylist()
    )
    logging.error("the first rejected lines:%s", listed or " none")


def _paths(arguments: Iterable[str]) -> dict[str, str]:
    """Read `name=path` arguments."""
    return {name: path for name, _, path in (argument.partition("=") for argument in arguments)}


def run(arguments: list[str]) -> None:
    """Run one task.

    Args:
      arguments: those of TFX's own entry point, and `--driver_class_path`, `--input_path name=path` and
        `--output_path name=path`; the rest goes to Beam.
    """
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    parser.add_argument("--driver_class_path")
    parser.add_argument("--input_path", action="append", default=[])
    parser.add_argument("--output_path", action="append", default=[])
    flags, beam_args = parser.parse_known_args(arguments)
    artifact_types.register()
    inputs_spec = json_format.Parse(flags.json_serialized_inputs_spec_args, ComponentInputsSpec())
    executor_input = json_format.Parse(
        flags.json_serialized_invocation_args, ExecutorInput(), ignore_unknown_fields=True
    )
    output_file = executor_input.outputs.output_file
    restore_types(executor_input, inputs_spec)
    output_paths = _paths(flags.output_path)
    leave_out_foreign_outputs(executor_input, output_paths)
    addresses = use_local_copies(executor_input, _paths(flags.input_path), output_paths)
    runner = PipelineOptions(beam_args).view_as(StandardOptions).runner
    if addresses and runner not in (None, _LOCAL_RUNNER):
        raise ValueError(
            f"this back end copies artifacts into the container, where the workers of {runner} do not see "
            "them: compile with --beam local, or run the package on Vertex AI"
        )
    if flags.driver_class_path and not fileio.exists(output_file):
        run_driver(flags.driver_class_path, executor_input, inputs_spec)
    flags.json_serialized_invocation_args = json_format.MessageToJson(executor_input)
    try:
        kubeflow_v2_run_executor.main((flags, beam_args))
    except RunStoppedError as error:
        tell_rejected(error, copied=bool(addresses))
        raise
    report_addresses(output_file, addresses)


def main() -> None:
    """Run the task that the command line describes; the last line says why it failed."""
    # The default would download the Prism runner and try that first.
    StandardOptions.DEFAULT_RUNNER = _LOCAL_RUNNER
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        run(sys.argv[1:])
    except botocore.exceptions.NoCredentialsError:
        sys.exit(
            "this task has no key for s3://: compile the package with an s3:// address as --data, and make "
            "the secret with `deepfm manifests --endpoint HOST`"
        )
    except Exception as error:
        logging.exception("the task failed")
        sys.exit(f"{type(error).__name__}: {own_words(error)}")


if __name__ == "__main__":
    main()
