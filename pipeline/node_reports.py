"""What a finished node's artifacts say: its main figures in a few words, and its part of the summary."""

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from tfx import types
from tfx.types import artifact_utils

from components.evaluator.eval_config import RMSE
from components.evaluator.executor import BASELINE_FILE
from components.ratings_example_gen import counts
from components.ratings_example_gen.parse import RATINGS_FILE
from components.serving_validator.executor import REPORT_FILE
from components.trainer.run_fn import HISTORY_FILE, VALIDATION_RMSE

Artifacts = Mapping[str, types.Artifact]


@dataclasses.dataclass(frozen=True)
class NodeReport:
    """A node's figures for the terminal, and its entries of summary.json."""

    text: str
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)


def report(node: str, artifacts: Artifacts) -> NodeReport:
    """Return the report of a node from its output artifacts by name."""
    reporter = _REPORTERS.get(node)
    return reporter(artifacts) if reporter else NodeReport("")


def _example_gen(artifacts: Artifacts) -> NodeReport:
    folder = Path(artifacts["rejected_rows"].uri)
    files = counts.from_json((folder / counts.COUNTS_FILE).read_text(encoding="utf-8"))
    ratings = files[RATINGS_FILE]
    splits = ", ".join(f"{name} {n:,}" for name, n in ratings.splits.items())
    return NodeReport(
        f"{ratings.read:,} lines, {ratings.rejected_total:,} rejected; {splits}",
        {
            "rows_read": ratings.read,
            "rows_accepted": ratings.accepted,
            "rows_rejected": dict(ratings.rejected),
            "rows_by_split": dict(ratings.splits),
            "files": {
                name: {"read": f.read, "accepted": f.accepted, "rejected": dict(f.rejected)}
                for name, f in files.items()
            },
            "rejected_rows": str(folder),
        },
    )


def _data_gate(artifacts: Artifacts) -> NodeReport:
    return NodeReport("no anomalies")


def _trainer(artifacts: Artifacts) -> NodeReport:
    path = Path(artifacts["model_run"].uri, HISTORY_FILE)
    with path.open(newline="", encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    best = min(epochs, key=lambda epoch: float(epoch[VALIDATION_RMSE]))
    return NodeReport(
        f"best of {len(epochs)} epochs is {int(best['epoch']) + 1}: "
        f"validation RMSE {float(best[VALIDATION_RMSE]):.4f}",
        {
            "epochs": len(epochs),
            "best_epoch": int(best["epoch"]) + 1,
            "validation": {"rmse": float(best[VALIDATION_RMSE]), "mae": float(best["val_mae"])},
            "tensorboard": str(path.parent),
        },
    )


def _evaluator(artifacts: Artifacts) -> NodeReport:
    uri = artifacts["evaluation"].uri
    result = tfma.load_eval_result(uri)
    slices = {
        _slice_name(key): {
            "rmse": values[RMSE],
            "mae": values["mean_absolute_error"],
            "calibration": values["calibration"],
            "count": int(values["example_count"]),
        }
        for key, metrics in result.slicing_metrics
        if (values := {name: v.get("doubleValue", math.nan) for name, v in metrics[""][""].items()})
        and not math.isnan(values[RMSE])
    }
    validation = tfma.load_validation_result(uri)
    reasons = [
        f"{_slice_name_of_proto(failed.slice_key)}: {failure.metric_key.name} "
        f"{failure.metric_value.double_value.value:.4f} {failure.message or 'is over its bound'}"
        + (" against the served model" if failure.metric_key.is_diff else "")
        for failed in validation.metric_validations_per_slice
        for failure in failed.failures
    ]
    baseline = Path(uri, BASELINE_FILE).read_text(encoding="utf-8")
    overall = slices["overall"]
    return NodeReport(
        f"test RMSE {overall['rmse']:.4f}, MAE {overall['mae']:.4f}; "
        + ("blessed" if validation.validation_ok else "not blessed"),
        {
            "metrics": {"test": dict(sorted(slices.items()))},
            "evaluation": {"blessed": validation.validation_ok, "reasons": reasons, "baseline": baseline},
        },
    )


def _slice_name(key: tuple[tuple[str, Any], ...]) -> str:
    return ",".join(f"{feature}={value}" for feature, value in key) or "overall"


def _slice_name_of_proto(key: Any) -> str:
    pairs = [(k.column, getattr(k, k.WhichOneof("kind"))) for k in key.single_slice_keys]
    return _slice_name(tuple((c, v.decode() if isinstance(v, bytes) else v) for c, v in pairs))


def _serving_validator(artifacts: Artifacts) -> NodeReport:
    path = Path(artifacts["blessing"].uri, REPORT_FILE)
    content = json.loads(path.read_text(encoding="utf-8"))
    figures = content["figures"]
    text = (
        "not blessed: " + content["failures"][0]
        if content["failures"]
        else f"parity {figures['largest_difference']:.0e}, predict {figures['predict_ms']:.1f} ms, "
        f"rank {figures['rank_ms']:.1f} ms"
    )
    return NodeReport(
        text,
        {
            "serving_validation": {
                "blessed": not content["failures"],
                "reasons": content["failures"],
                **{name: value for name, value in figures.items() if name != "stderr"},
            }
        },
    )


def _pusher(artifacts: Artifacts) -> NodeReport:
    pushed = artifacts["pushed_model"]
    if not pushed.get_int_custom_property("pushed"):
        return NodeReport("not pushed", {"pushed_version": None})
    version = int(pushed.get_string_custom_property("pushed_version"))
    return NodeReport(f"version {version}", {"pushed_version": version})


_REPORTERS: dict[str, Callable[[Artifacts], NodeReport]] = {
    "RatingsExampleGen": _example_gen,
    "DataGate": _data_gate,
    "Trainer": _trainer,
    "Evaluator": _evaluator,
    "ServingValidator": _serving_validator,
    "Pusher": _pusher,
}


def single_artifacts(outputs: Mapping[str, list[types.Artifact]]) -> dict[str, types.Artifact]:
    """Return the one artifact of each output."""
    return {name: artifact_utils.get_single_instance(artifacts) for name, artifacts in outputs.items()}
