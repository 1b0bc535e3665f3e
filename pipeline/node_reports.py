"""What a finished node's artifacts say: its main figures in a few words, and its part of the summary."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfx import types

from components.data_gate.report import Report
from components.evaluator.results import read_evaluation
from components.gibbs.trials import read_trials
from components.model_report.artifacts import CARD_FILE, REPORT_FILE
from components.pusher.executor import pushed_version
from components.ratings_example_gen import counts
from components.ratings_example_gen.artifacts import SPANS
from components.ratings_example_gen.parse import RATINGS_FILE
from components.serving_validator.report import Report as ServingReport
from components.trainer.history import read_history
from components.trainer.start import Start
from serving import release

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
    found = ingestion(artifacts["rejected_rows"].uri)
    spans = artifacts["examples"].get_string_custom_property(SPANS)
    if not spans:
        return found
    days = json.loads(spans)
    missing = f"; without {', '.join(days['missing'])}" if days["missing"] else ""
    return NodeReport(found.text + missing, {**found.summary, "days": days})


def ingestion(folder: str) -> NodeReport:
    """Return the report of RatingsExampleGen from the folder of its rejected rows."""
    files = counts.read(folder)
    ratings = files[RATINGS_FILE]
    splits = ", ".join(f"{name} {n:,}" for name, n in ratings.splits.items())
    replaced = f", {ratings.replaced:,} replaced" if ratings.replaced else ""
    return NodeReport(
        f"{ratings.read:,} lines, {ratings.rejected_total:,} rejected{replaced}; {splits}",
        {
            "rows_read": ratings.read,
            "rows_accepted": ratings.accepted,
            "rows_rejected": dict(ratings.rejected),
            "rows_replaced": ratings.replaced,
            "rows_by_split": dict(ratings.splits),
            "files": {
                name: {"read": f.read, "accepted": f.accepted, "rejected": dict(f.rejected)}
                for name, f in files.items()
            },
            "rejected_rows": folder,
        },
    )


def _data_gate(artifacts: Artifacts) -> NodeReport:
    report = Report.read(artifacts["data_blessing"].uri)
    return NodeReport(report.text, {"data_gate": report.to_values()})


def _trainer(artifacts: Artifacts) -> NodeReport:
    folder = artifacts["model_run"].uri
    history = read_history(folder)
    start = Start.read(folder)
    return NodeReport(
        f"{history.text}; {start.text}",
        {
            "start": dataclasses.asdict(start),
            f"{history.unit}s": len(history.steps),
            f"kept_{history.unit}": history.kept.number,
            "validation": {"rmse": history.kept.validation_rmse, "mae": history.kept.validation_mae},
            "tensorboard": folder,
        },
    )


def _tuner(artifacts: Artifacts) -> NodeReport:
    trials = read_trials(artifacts["tuner_results"].uri)
    best = trials[0]
    return NodeReport(
        f"best of {len(trials)} trials is {best.number}: validation RMSE {best.validation_rmse:.4f}",
        {
            "trials": [dataclasses.asdict(trial) for trial in trials],
            "tuner_results": artifacts["tuner_results"].uri,
            "best_hyperparameters": artifacts["best_hyperparameters"].uri,
        },
    )


def _evaluator(artifacts: Artifacts) -> NodeReport:
    evaluation = read_evaluation(artifacts["evaluation"].uri)
    overall, comparison = evaluation.overall, evaluation.comparison
    return NodeReport(
        f"test RMSE {overall.rmse:.4f}, MAE {overall.mae:.4f}; "
        + ("blessed" if evaluation.blessed else "not blessed")
        + (f"; {comparison.text}" if comparison.left_out else ""),
        {
            "metrics": {
                "test": {
                    s.name: {"rmse": s.rmse, "mae": s.mae, "calibration": s.calibration, "count": s.rows}
                    for s in sorted((overall, *evaluation.slices), key=lambda s: s.name)
                }
            },
            "evaluation": {
                "blessed": evaluation.blessed,
                "reasons": list(evaluation.reasons),
                "baseline": comparison.text,
                "baseline_version": comparison.version,
                "compared": not comparison.reason,
                "not_compared": comparison.reason,
                "baseline_rmse": overall.baseline_rmse,
            },
        },
    )


def _serving_validator(artifacts: Artifacts) -> NodeReport:
    validation = ServingReport.read(artifacts["blessing"].uri)
    figures = validation.figures
    text = (
        "not blessed: " + validation.failures[0]
        if validation.failures
        else f"parity {figures['largest_difference']:.0e}, predict {figures['predict_ms']:.1f} ms, "
        f"rank {figures['rank_ms']:.1f} ms"
    )
    return NodeReport(
        text,
        {
            "serving_validation": {
                "blessed": not validation.failures,
                "reasons": validation.failures,
                **{name: value for name, value in figures.items() if name != "stderr"},
            }
        },
    )


def _pusher(artifacts: Artifacts) -> NodeReport:
    pushed = artifacts["pushed_model"]
    version = pushed_version(pushed)
    if version is None:
        return NodeReport("not pushed", {"pushed_version": None, "served_instead": None})
    serving_dir = Path(pushed.get_string_custom_property("pushed_destination")).parent
    served = release.served(serving_dir)
    # A model that was taken out of service is not put back by being trained again.
    instead = None if served == version else served
    more = f", which was served before; version {instead} stays served" if instead else ""
    return NodeReport(f"version {version}{more}", {"pushed_version": version, "served_instead": instead})


def _model_report(artifacts: Artifacts) -> NodeReport:
    path = Path(artifacts["report"].uri, REPORT_FILE)
    return NodeReport(f"{REPORT_FILE} and {CARD_FILE}", {"report": str(path)})


_REPORTERS: dict[str, Callable[[Artifacts], NodeReport]] = {
    "RatingsExampleGen": _example_gen,
    "DataGate": _data_gate,
    "Trainer": _trainer,
    "Tuner": _tuner,
    "Evaluator": _evaluator,
    "ServingValidator": _serving_validator,
    "Pusher": _pusher,
    "ModelReport": _model_report,
}
