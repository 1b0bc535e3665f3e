"""What makes RatingsExampleGen run again: the content of its three files."""

import hashlib
import os

from tfx.dsl.components.base import base_driver
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput  # type: ignore[attr-defined]

from components.errors import RunStoppedError
from components.ratings_example_gen.artifacts import INPUT_FINGERPRINT
from components.ratings_example_gen.parse import MOVIES_FILE, RATINGS_FILE, USERS_FILE

INPUT_FILES = (RATINGS_FILE, MOVIES_FILE, USERS_FILE)
_CHUNK_BYTES = 1 << 20


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Puts a fingerprint of the files into the execution properties, and so into the cache key."""

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> DriverOutput:
        """Return the execution properties with `input_fingerprint`."""
        output = DriverOutput()
        digest = fingerprint(execution_info.exec_properties["input_base"])
        output.exec_properties[INPUT_FINGERPRINT].string_value = digest
        return output


def fingerprint(folder: str) -> str:
    """Return a SHA-256 over the names, sizes and contents of the input files, as hex.

    Raises:
      RunStoppedError: a file is missing or empty.
    """
    digest = hashlib.sha256()
    for name in INPUT_FILES:
        path = os.path.join(folder, name)
        if not fileio.exists(path):
            raise RunStoppedError(f"{path} is missing; the folder must hold {', '.join(INPUT_FILES)}")
        content = hashlib.sha256()
        size = 0
        with fileio.open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                content.update(chunk)
                size += len(chunk)
        if size == 0:
            raise RunStoppedError(f"{path} is empty; expected `::`-separated lines")
        digest.update(f"{name} {size} {content.hexdigest()}\n".encode())
    return digest.hexdigest()
