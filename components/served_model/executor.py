"""How the baseline becomes an artifact."""

import math
import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import progress
from components.ratings_example_gen.artifacts import EVALUATION_START
from components.ratings_example_gen.properties import LAST_RATING
from components.served_model.properties import (
    BASELINE_VERSION,
    NO_VERSION,
    SPLIT_IDENTITY,
    TRAINING_IDENTITY,
    UNFAIR,
)
from serving import versions


class Executor(base_executor.BaseExecutor):
    """Copies the version that the driver found."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the SavedModel and the artifact's properties."""
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict["model"])
        version = exec_properties[BASELINE_VERSION]
        model.set_int_custom_property(BASELINE_VERSION, version)
        model.set_string_custom_property(TRAINING_IDENTITY, exec_properties[TRAINING_IDENTITY])
        if version == NO_VERSION:
            progress.report(1.0, "nothing is served yet")
            return
        serving_dir = exec_properties["serving_dir"]
        manifest = versions.manifest(serving_dir, version)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        unfair = _unfair(
            manifest,
            exec_properties[SPLIT_IDENTITY],
            bool(exec_properties["split_by_time"]),
            examples.get_int_custom_property(LAST_RATING),
            examples.get_string_custom_property(EVALUATION_START),
        )
        model.set_string_custom_property(UNFAIR, unfair)
        source = os.path.join(serving_dir, str(version))
        io_utils.copy_dir(source, path_utils.serving_model_path(model.uri))
        text = f"version {version}"
        progress.report(1.0, f"{text} {unfair}" if unfair else text)


def _unfair(
    manifest: dict[str, Any],
    split_identity: str,
    split_by_time: bool,
    last_rating: int,
    evaluation_start: str,
) -> str:
    """Return why a version may have seen the test rows of a run whose rows to fit end at `last_rating`."""
    if evaluation_start:
        # As text: ISO dates sort by time.
        fair = manifest.get(EVALUATION_START, "9999") <= evaluation_start
        return "" if fair else "was trained on days of the evaluation span"
    if manifest.get(SPLIT_IDENTITY) != split_identity:
        return "was trained on another split and may have seen the test rows"
    if split_by_time and manifest.get(LAST_RATING, math.inf) > last_rating:
        return "was trained on later ratings and may have seen the test rows"
    return ""
