"""TFX's Pusher, which publishes a version whole or not at all, each model once, and removes old ones."""

from typing import Any

from tfx import types
from tfx.components.pusher import executor as tfx_pusher
from tfx.types import artifact_utils, standard_component_specs

from components import progress
from components.evaluator.properties import TEST_RMSE
from components.serving_validator.report import FINGERPRINT
from serving import release, versions


class Executor(tfx_pusher.Executor):
    """Publishes the model that ServingValidator validated, if both blessings hold."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publish under the next number, release it, remove old ones, and record the number."""
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            progress.report(1.0, "not pushed")
            return
        model_blessing, infra_blessing = (
            artifact_utils.get_single_instance(input_dict[key])
            for key in (
                standard_component_specs.MODEL_BLESSING_KEY,
                standard_component_specs.INFRA_BLESSING_KEY,
            )
        )
        serving_dir = exec_properties["serving_dir"]
        version = versions.publish(
            self.GetModelPath(input_dict),
            serving_dir,
            fingerprint=infra_blessing.get_string_custom_property(FINGERPRINT),
            entries={
                versions.PUBLICATION: exec_properties[versions.PUBLICATION],
                versions.BLESSED: True,
                TEST_RMSE: model_blessing.get_float_custom_property(TEST_RMSE),
            },
        )
        release.publish(serving_dir, version)
        release.prune(serving_dir, keep=exec_properties["keep_versions"])
        self._MarkPushed(pushed, pushed_destination=f"{serving_dir}/{version}", pushed_version=str(version))
        progress.report(1.0, f"version {version}")


def pushed_version(pushed: types.Artifact) -> int | None:
    """Return the version that a pushed model became; None if it was not pushed."""
    if not pushed.get_int_custom_property("pushed"):
        return None
    return int(pushed.get_string_custom_property("pushed_version"))
