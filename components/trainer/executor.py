"""TFX's Trainer, which says to `run_fn` what its base model is."""

from typing import Any

from tfx import types
from tfx.components.trainer import executor as tfx_trainer
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from components.served_model.properties import BASELINE_VERSION
from components.served_model.usable import why_not, without

COLD_REASON = "cold_reason"
"""Key of the custom configuration that `run_fn` gets: why there is no base model; "" where there is one."""


class Executor(tfx_trainer.GenericExecutor):
    """Drops a base model that is absent or may have seen this run's test rows."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Train; `run_fn` gets the base model's version and `COLD_REASON` in its custom configuration."""
        base = artifact_utils.get_single_instance(input_dict[standard_component_specs.BASE_MODEL_KEY])
        reason = why_not(base)
        if reason:
            input_dict = without(input_dict, standard_component_specs.BASE_MODEL_KEY)
        custom_config = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        custom_config |= {
            BASELINE_VERSION: base.get_int_custom_property(BASELINE_VERSION),
            COLD_REASON: reason,
        }
        super().Do(
            input_dict,
            output_dict,
            {
                **exec_properties,
                standard_component_specs.CUSTOM_CONFIG_KEY: json_utils.dumps(custom_config),
            },
        )
