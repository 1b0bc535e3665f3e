"""From findings to the texts that people read."""

import dataclasses
import re
from typing import Any, Final

import jinja2

from components.model_report import plots
from components.model_report.artifacts import CARD_FILE, REPORT_FILE
from components.model_report.findings import Findings

_LOADER: Final = jinja2.PackageLoader("components.model_report", "")
_SERVING_FIGURES: Final = {  # a version that could not be loaded lacks some
    "largest_difference": ("Largest difference from the training graph", "{:.1e} stars"),
    "predict_ms": ("One rating, median", "{:.1f} ms"),
    "rank_ms": ("Ranking of the whole catalogue, median", "{:.1f} ms"),
    "bytes": ("Size of the version", "{:,} bytes"),
}
_MARKDOWN_SYNTAX: Final = re.compile(r"([\\`*\[\]<|])")


def render_report(findings: Findings) -> str:
    """Return the report: one HTML page that needs nothing beside itself."""
    environment = _environment(autoescape=True)
    return environment.get_template(f"{REPORT_FILE}.jinja").render(
        findings=findings,
        learning_curves=plots.learning_curves(findings.history, findings.dataset.noise_floor_rmse),
        groups=list(
            zip(findings.groups, plots.slices(findings.groups, findings.evaluation.overall), strict=True)
        ),
        rejections=plots.rejections(findings.rejections) if findings.rejections else None,
        serving_figures=[
            (label, text.format(findings.serving.figures[name]))
            for name, (label, text) in _SERVING_FIGURES.items()
            if name in findings.serving.figures
        ],
    )


def render_card(findings: Findings) -> str:
    """Return the model card, in Markdown."""
    environment = _environment(autoescape=False, finalize=_escape_markdown)
    return environment.get_template(f"{CARD_FILE}.jinja").render(findings=findings)


def _environment(**options: Any) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=_LOADER,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "capitalized": lambda text: text[0].upper() + text[1:],
        "share": "{:.0%}".format,
        "stars": "{:.4f}".format,
        "change": _change,
        "ratio": "{:.3f}".format,
        "fields": dataclasses.asdict,
        "setting": _setting,
    }
    return environment


def _change(difference: float) -> str:
    """Write a difference in stars with its sign, a true minus."""
    return f"{difference:+.4f}".replace("-", "−")  # noqa: RUF001


def _setting(value: Any) -> str:
    """Write the value of a configuration's field."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _escape_markdown(value: Any) -> Any:
    """Return text such that Markdown shows it as it is; what comes from data must not be markup."""
    if not isinstance(value, str):
        return value
    return _MARKDOWN_SYNTAX.sub(r"\\\1", re.sub(r"\s+", " ", value))
