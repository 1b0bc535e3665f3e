"""What the runs of a folder say of themselves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.job import SUMMARY_FILE
from serving import versions

_NEEDED = {"state", "blessed", "pushed_version", "seconds", "serving_dir"}


def last_summaries(runs: Path) -> dict[str, dict[str, Any] | None]:
    """Return the summary of each dataset's last run, the oldest run first; None where it is damaged."""
    paths = sorted(runs.glob(f"*/latest/{SUMMARY_FILE}"), key=lambda path: path.stat().st_mtime)
    return {path.parent.parent.name: _read(path) for path in paths}


def last_serving_dir(runs: Path) -> Path | None:
    """Return the serving folder of the last run whose dataset has a served model."""
    for summary in reversed(last_summaries(runs).values()):
        if summary and versions.latest(summary["serving_dir"]) is not None:
            return Path(summary["serving_dir"])
    return None


def history(root: Path) -> Iterator[dict[str, Any]]:
    """Yield the summary of each run of a dataset, the oldest first; one that was killed has none.

    Args:
        root: Everything that runs on the dataset leave behind.
    """
    for path in sorted(root.glob(f"history/*/{SUMMARY_FILE}")):
        if summary := _read(path):
            yield summary


def _read(path: Path) -> dict[str, Any] | None:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and summary.keys() >= _NEEDED else None
