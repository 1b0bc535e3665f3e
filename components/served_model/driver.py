"""What makes ServedModel run again: another version, or another model under its number."""

from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput  # type: ignore[attr-defined]

from serving import versions

NO_VERSION = 0


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Puts the served version and its fingerprint into the execution properties."""

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> DriverOutput:
        """Return `served_version` (0 for none) and `served_fingerprint`."""
        serving_dir = execution_info.exec_properties["serving_dir"]
        version = versions.latest(serving_dir)
        output = DriverOutput()
        output.exec_properties["served_version"].int_value = version or NO_VERSION
        fingerprint = versions.manifest(serving_dir, version)["fingerprint"] if version else ""
        output.exec_properties["served_fingerprint"].string_value = fingerprint
        return output
