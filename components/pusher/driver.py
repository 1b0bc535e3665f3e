"""What makes Pusher run again: its model is not the one that the serving folder has now."""

import uuid

from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput  # type: ignore[attr-defined]
from tfx.types import artifact_utils, standard_component_specs

from components.serving_validator.report import FINGERPRINT
from serving import versions


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Puts the publication into the execution properties, and so into the cache key.

    The key of an earlier push is found again only as long as what it published is the latest version. A
    model that was removed from the serving folder since, or superseded there, is published anew.
    """

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> DriverOutput:
        """Return `publication`: that of the latest version if it is this model, else a new one."""
        blessings = [
            artifact_utils.get_single_instance(execution_info.input_dict[name])
            for name in (
                standard_component_specs.MODEL_BLESSING_KEY,
                standard_component_specs.INFRA_BLESSING_KEY,
            )
        ]
        output = DriverOutput()
        publication = ""
        if all(blessing.get_int_custom_property("blessed") for blessing in blessings):
            publication = (
                versions.publication(
                    execution_info.exec_properties["serving_dir"],
                    blessings[1].get_string_custom_property(FINGERPRINT),
                )
                or uuid.uuid4().hex
            )
        output.exec_properties[versions.PUBLICATION].string_value = publication
        return output
