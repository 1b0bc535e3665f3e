"""TFX's Evaluator, which compares with the served model only where that is possible and fair."""

from typing import Any

from tfx import types
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.types import artifact_utils, standard_component_specs

from components import progress
from components.evaluator.properties import COMPARED, COMPARISON, TEST_RMSE
from components.evaluator.results import Comparison, read_evaluation, why_not_judged
from components.served_model.properties import BASELINE_VERSION, NO_VERSION, UNFAIR
from components.served_model.usable import why_not, without


class Executor(tfx_evaluator.Executor):
    """Drops a baseline that is absent or not comparable, and says so."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluate; the bounds on the change hold only where the served model is compared with."""
        served = artifact_utils.get_single_instance(input_dict[standard_component_specs.BASELINE_MODEL_KEY])
        version = served.get_int_custom_property(BASELINE_VERSION)
        reason = why_not(served)
        if reason:
            progress.report(0.0, reason)
            input_dict = without(input_dict, standard_component_specs.BASELINE_MODEL_KEY)
        else:
            progress.report(0.0, f"comparing with version {version}")
        super().Do(input_dict, output_dict, exec_properties)
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        if unfair := served.get_string_custom_property(UNFAIR):
            reason = f"it {unfair}"
        comparison = Comparison(
            version=None if version == NO_VERSION else version,
            reason=reason or why_not_judged(evaluation.uri),
        )
        comparison.write(evaluation.uri)
        evaluation.set_int_custom_property(COMPARED, int(not comparison.reason))
        evaluation.set_string_custom_property(COMPARISON, comparison.text)
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        blessing.set_float_custom_property(TEST_RMSE, read_evaluation(evaluation.uri).overall.rmse)
