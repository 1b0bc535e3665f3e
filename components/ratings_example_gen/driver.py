"""What makes RatingsExampleGen run again: the content of the files that it reads."""

import hashlib
import os

from tfx.dsl.components.base import base_driver
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput  # type: ignore[attr-defined]

import components.object_store  # noqa: F401  (the dataset may lie in one)
from components.errors import RunStoppedError
from components.ratings_example_gen.artifacts import INPUT_FINGERPRINT, INPUTS
from components.ratings_example_gen.config import ExampleGenConfig
from components.ratings_example_gen.inputs import Inputs, find_inputs, reading

_CHUNK_BYTES = 1 << 20


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Puts the files and a fingerprint of them into the execution properties, and so into the cache key."""

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> DriverOutput:
        """Return `inputs` and `input_fingerprint`.

        Raises:
          RunStoppedError: the run's date or window is none, or the files are not as they must be.
        """
        folder = execution_info.exec_properties["input_base"]
        config = ExampleGenConfig.from_json(execution_info.exec_properties["example_gen_config"])
        try:
            days = config.days(execution_info.exec_properties)
        except ValueError as error:
            raise RunStoppedError(str(error)) from error
        inputs = find_inputs(folder, days)
        output = DriverOutput()
        output.exec_properties[INPUTS].string_value = inputs.to_json()
        output.exec_properties[INPUT_FINGERPRINT].string_value = fingerprint(folder, inputs)
        return output


def fingerprint(folder: str, inputs: Inputs) -> str:
    """Return a SHA-256 over the names, sizes and contents of the input files, as hex.

    Raises:
      RunStoppedError: a file is missing or cannot be read, or is empty and not the ratings of a quiet day.
    """
    digest = hashlib.sha256()
    ratings_bytes = 0
    for name in inputs.files:
        path = os.path.join(folder, name)
        with reading(path):
            if not fileio.exists(path):
                raise RunStoppedError(f"{path} is missing; the folder must hold {', '.join(inputs.files)}")
            content, size = _read(path)
        if size == 0 and not (inputs.evaluation and name in inputs.ratings):
            raise RunStoppedError(f"{path} is empty; expected `::`-separated lines")
        ratings_bytes += size if name in inputs.ratings else 0
        digest.update(f"{name} {size} {content}\n".encode())
    if not ratings_bytes:
        raise RunStoppedError(f"{folder}: all {len(inputs.ratings)} days that this run reads have no ratings")
    return digest.hexdigest()


def _read(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file's content, as hex, and its size in bytes."""
    content, size = hashlib.sha256(), 0
    with fileio.open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            content.update(chunk)
            size += len(chunk)
    return content.hexdigest(), size
