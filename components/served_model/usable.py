"""Whether a run may use the served model, to begin with and to compare with."""

from tfx import types

from components.served_model.properties import BASELINE_VERSION, NO_VERSION, UNFAIR


def why_not(served: types.Artifact) -> str:
    """Return why the artifact of ServedModel is of no use; "" where it is."""
    version = served.get_int_custom_property(BASELINE_VERSION)
    if version == NO_VERSION:
        # "Was": a node may run again after the model that it made or judged has been pushed.
        return "no model was served before this one"
    unfair = served.get_string_custom_property(UNFAIR)
    return f"version {version} {unfair}" if unfair else ""


def without(input_dict: dict[str, list[types.Artifact]], key: str) -> dict[str, list[types.Artifact]]:
    """Return the inputs of a node without one of them."""
    return {name: artifacts for name, artifacts in input_dict.items() if name != key}
