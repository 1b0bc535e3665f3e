"""A run on this machine as a person sees it: one line a node, then a summary."""

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline import events
from pipeline.config import PipelineConfig
from pipeline.job import INTERRUPTED, SUMMARY_FILE, Job

LOG_FILE = "run.log"
_LOCK = ".lock"
_WORST_SLICES = 3
_SHOWN_WARNINGS = 2
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "1", "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONUNBUFFERED": "1"}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: int  # exit status; of a process that a signal ended, as of a shell
    summary: dict[str, Any] | None  # as in summary.json; None where the run could not begin


class AlreadyRunningError(Exception):
    """Another process runs the pipeline on this dataset."""


@contextlib.contextmanager
def locked(root: Path) -> Iterator[int]:
    """Hold the lock on all runs of a dataset; yield its descriptor, which `run` hands on to its process.

    The lock ends with the last process that has it open, however that ends.

    Args:
      root: everything that runs on the dataset leave behind; made if missing.

    Raises:
      AlreadyRunningError: another process has it.
      OSError: the folder cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(f"another run works in {root}; wait for it to end") from None
        yield file.fileno()


def run(
    config: PipelineConfig, facts: dict[str, Any], console: Console, lock: int, *, brief: bool = False
) -> Outcome:
    """Run the pipeline in a process of its own and show how it goes.

    Args:
      config: what to run.
      facts: entries of summary.json that are known before the run.
      console: where to show it.
      lock: of `locked`.
      brief: show no node once it is done, and no summary.

    Raises:
      OSError: the folder of the run cannot be written.
    """
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    run_folder = config.root / "history" / stamp
    log_path = run_folder / LOG_FILE
    run_folder.mkdir(parents=True)
    reader, writer = os.pipe()
    job = Job(config=config, run_folder=run_folder, event_descriptor=writer, facts=facts)
    with log_path.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", "from pipeline.local_worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[writer, lock],
            env={**os.environ, **_QUIET},
        )
    os.close(writer)
    assert worker.stdin is not None
    # A worker that dies while it starts says why in the log.
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write(pickle.dumps(job))
        worker.stdin.flush()
    try:
        told = _show(os.fdopen(reader, encoding="utf-8"), console, brief)
        ended = worker.wait()
        status = ended if ended >= 0 else 128 - ended
    except KeyboardInterrupt:
        worker.kill()
        worker.wait()
        console.print("[yellow]interrupted; the next run goes on from the last finished node[/]")
        return Outcome(INTERRUPTED, None)
    finally:
        worker.stdin.close()
    path = run_folder / SUMMARY_FILE
    summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if summary is None and not told:
        console.print(f"[red]the run ended with status {status} before it could say why[/]")
    if summary is not None and status == 0 and not brief:
        _show_summary(summary, console)
    if status or not brief:
        console.print(f"log     {log_path}", style="dim", markup=False, soft_wrap=True)
    return Outcome(status, summary)


def _show(stream: IO[str], console: Console, brief: bool) -> bool:
    """Print nodes as they finish, with a moving line for the one that runs; return if one failed."""
    arrived: queue.Queue[events.Event | None] = queue.Queue()

    def read() -> None:
        with stream:  # which ends with the worker; Ctrl-C comes before that
            for event in events.read_events(stream):
                arrived.put(event)
        arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    node, text, since, failed = "starting TFX", "", time.monotonic(), False
    with console.status("") as status:
        while True:
            try:
                event = arrived.get(timeout=0.5)
            except queue.Empty:
                shown = f"{node}  {time.monotonic() - since:.0f} s  [dim]{escape(text)}[/]"
                status.update(shown)
                continue
            if event is None:
                return failed
            if event.kind == events.STARTED:
                node, text, since = event.node, "", time.monotonic()
            elif event.kind == events.PROGRESS:
                text = event.text
            elif event.kind == events.FINISHED and not brief:
                mark = "[cyan]cached[/]" if event.cached else "[green]done  [/]"
                seconds = f"{event.seconds:6.1f} s"
                console.print(
                    f"{mark} {event.node:<18}{seconds}  {escape(event.text)}", highlight=False, soft_wrap=True
                )
            elif event.kind == events.FAILED:
                failed = True
                where = f"{event.node} " if event.node else ""
                lines = event.text.splitlines()
                more = [f"… {len(lines) - 12} more lines in the log"] if len(lines) > 12 else []
                console.print(f"[red]failed {where}[/]", highlight=False)
                console.print(escape("\n".join(lines[:12] + more)), highlight=False, soft_wrap=True)


def _show_summary(summary: dict[str, Any], console: Console) -> None:
    """Print the table at the end of a run."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    kind = "generated data" if summary["dataset"]["generated"] else "real data"
    table.add_row("dataset", escape(f"{summary['dataset']['name']} ({kind})"))
    rejected = summary["rows_rejected"]
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in rejected.items())
    table.add_row(
        "rows",
        f"{summary['rows_read']:,} read, {summary['rows_accepted']:,} accepted, "
        f"{sum(rejected.values()):,} rejected"
        + (f" ({reasons})" if reasons else "")
        + (f", {summary['rows_replaced']:,} replaced by later ratings" if summary["rows_replaced"] else ""),
    )
    if days := summary.get("days"):
        missing = f"; missing: {', '.join(days['missing'])}" if days["missing"] else ""
        parts = ", ".join(f"{part} {' to '.join(days[part])}" for part in ("training", "evaluation"))
        table.add_row("days", parts + missing)
    gate = summary["data_gate"]
    findings = gate["findings"]
    more = [f"… and {len(findings) - _SHOWN_WARNINGS} more"] if len(findings) > _SHOWN_WARNINGS else []
    warnings = [f"[yellow]{escape(finding)}[/]" for finding in findings[:_SHOWN_WARNINGS]]
    table.add_row("data", "\n".join([gate["baseline"], *warnings, *more]))
    slices = summary["metrics"]["test"]
    overall = slices["overall"]
    floor = summary["dataset"]["noise_floor_rmse"]
    table.add_row(
        "test RMSE",
        f"{overall['rmse']:.4f} (MAE {overall['mae']:.4f}, {overall['count']:,} rows)"
        + (f"; noise floor {floor:.4f}" if floor else ""),
    )
    worst = sorted((s for s in slices if s != "overall"), key=lambda s: -slices[s]["rmse"])[:_WORST_SLICES]
    table.add_row(
        "worst slices",
        escape(", ".join(f"{s} {slices[s]['rmse']:.4f} ({slices[s]['count']:,})" for s in worst)),
    )
    baseline = escape(summary["evaluation"]["baseline"])
    if summary["evaluation"]["baseline_version"] and not summary["evaluation"]["compared"]:
        baseline = f"[yellow]{baseline}[/]"
    table.add_row("baseline", baseline)
    blessed = "[green]yes[/]" if summary["blessed"] else "[red]no[/]"
    table.add_row("blessed", "\n".join([blessed, *map(escape, summary["blessing_reasons"][:5])]))
    version = summary["pushed_version"]
    pushed = f"version {version}" if version else "nothing"
    if instead := summary["served_instead"]:
        pushed += f", which was served before; [yellow]version {instead} stays served[/]"
    table.add_row("pushed", pushed)
    cached = len(summary["cached_nodes"])
    nodes = len(summary["seconds_by_node"])
    table.add_row("time", f"{summary['seconds']:.0f} s, {cached} of {nodes} nodes from the cache")
    console.print()
    console.print(table)
    # Not in the table, which would break a path into lines.
    console.print(f"\nreport  {summary['report']}", markup=False, highlight=False, soft_wrap=True)
    if version:
        serving = summary["serving_dir"]
        console.print(
            f"ask it  deepfm serve --model_base_path {serving}\n"
            f"        deepfm rank --model_base_path {serving} --uid 1 --top 10",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
