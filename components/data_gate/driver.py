"""What makes DataGate run again beside its inputs: requests that a server logged since."""

from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput  # type: ignore[attr-defined]

from components.data_gate.requests import fingerprint

REQUESTS_FINGERPRINT = "requests_fingerprint"
"""The execution property."""


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Puts a fingerprint of the logged requests into the execution properties, and so into the cache key."""

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> DriverOutput:
        """Return `requests_fingerprint`; "" where no request was logged."""
        output = DriverOutput()
        found = fingerprint(execution_info.exec_properties["serving_dir"])
        output.exec_properties[REQUESTS_FINGERPRINT].string_value = found
        return output
