"""TFX's Evaluator, which compares with the served model only where that is possible and fair."""

import os
from typing import Any

from tfx import types
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components import progress
from components.evaluator.properties import TEST_RMSE
from components.evaluator.results import BASELINE_FILE, read_evaluation
from components.served_model.properties import BASELINE_VERSION
from components.served_model.usable import why_not, without


class Executor(tfx_evaluator.Executor):
    """Drops a baseline that is absent or not comparable, and says so."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluate; the change thresholds hold only where there is a baseline."""
        served = artifact_utils.get_single_instance(input_dict[standard_component_specs.BASELINE_MODEL_KEY])
        reason = why_not(served)
        if reason:
            baseline = f"{reason}: judged by the absolute bound alone"
            input_dict = without(input_dict, standard_component_specs.BASELINE_MODEL_KEY)
        else:
            baseline = f"compared with version {served.get_int_custom_property(BASELINE_VERSION)}"
        progress.report(0.0, baseline)
        super().Do(input_dict, output_dict, exec_properties)
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        io_utils.write_string_file(os.path.join(evaluation.uri, BASELINE_FILE), baseline)
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        blessing.set_float_custom_property(TEST_RMSE, read_evaluation(evaluation.uri).overall.rmse)
