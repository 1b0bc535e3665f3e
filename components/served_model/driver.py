"""What makes ServedModel run again: another baseline."""

import hashlib
from pathlib import Path

from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as ir_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput  # type: ignore[attr-defined]
from tfx.types import artifact_utils

from components.ratings_example_gen.artifacts import EVALUATION_START, INPUT_FINGERPRINT
from components.served_model.properties import BASELINE_VERSION, NO_VERSION, TRAINING_IDENTITY
from serving import release, versions


class Driver(base_driver.BaseDriver, ir_base_driver.BaseDriver):
    """Puts the baseline's version and fingerprint into the execution properties, and so the cache key."""

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        ir_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> DriverOutput:
        """Return `baseline_version` (0 for none), `baseline_fingerprint` and `training_identity`."""
        properties = execution_info.exec_properties
        examples = artifact_utils.get_single_instance(execution_info.input_dict["examples"])
        depends_on = (
            *(examples.get_string_custom_property(name) for name in (INPUT_FINGERPRINT, EVALUATION_START)),
            *(properties[name] for name in ("split_identity", "training_config")),
        )
        identity = hashlib.sha256(" ".join(depends_on).encode()).hexdigest()
        version = baseline(properties["serving_dir"], identity)
        output = DriverOutput()
        output.exec_properties[TRAINING_IDENTITY].string_value = identity
        output.exec_properties[BASELINE_VERSION].int_value = version
        output.exec_properties["baseline_fingerprint"].string_value = (
            versions.content_fingerprint(Path(properties["serving_dir"], str(version))) if version else ""
        )
        return output


def baseline(serving_dir: str, training_identity: str) -> int:
    """Return the version that a run is to be compared with; 0 for none."""
    served = release.served(serving_dir)
    if served is None:
        return NO_VERSION
    manifest = versions.manifest(serving_dir, served)
    if manifest.get(TRAINING_IDENTITY) != training_identity:
        return served
    recorded = manifest.get(BASELINE_VERSION, NO_VERSION)
    return recorded if recorded in versions.versions(serving_dir) else NO_VERSION
