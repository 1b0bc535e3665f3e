"""The project's artifact types by the titles that a compiled package knows them by."""

from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.types.artifact import Artifact
from tfx.utils import name_utils

from components.data_gate.artifacts import DataBlessing
from components.model_report.artifacts import ModelReport
from components.ratings_example_gen.artifacts import Catalogue, RejectedRows

ARTIFACT_TYPES: tuple[type[Artifact], ...] = (Catalogue, DataBlessing, ModelReport, RejectedRows)


def register() -> None:
    """Let TFX find the project's artifact types.

    TFX takes the title of a type that it does not know for an import path, and yet lets a title have one
    dot only.
    """
    compiler_utils.TITLE_TO_CLASS_PATH.update(
        {
            str(artifact_type.TYPE_NAME): name_utils.get_full_name(artifact_type)
            for artifact_type in ARTIFACT_TYPES
        }
    )
