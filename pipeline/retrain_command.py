"""The command of `deepfm` that keeps a model fresh on one machine: a run for each day, in order."""

import dataclasses
import datetime
import functools
import getpass
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from components.ratings_example_gen.config import RunDays, SpanConfig
from pipeline import beam_options, retraining, schedules
from pipeline.beam_profiles import BeamProfile
from pipeline.dataset.errors import DatasetError
from pipeline.job import ALREADY_RUNNING, INTERRUPTED
from pipeline.run_options import (
    AllowMissing,
    Cold,
    EvaluationDays,
    Preset,
    PresetName,
    RunRequest,
    Runs,
    Seed,
    Window,
    find_dataset,
)
from pipeline.terminal import console, say, stop
from serving.quiet_imports import quiet_imports

app = typer.Typer()

_LOG = "retrain.log"
_UNITS = "deepfm-retrain"


@app.command()
def retrain(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="Folder of days.")],
    date: Annotated[
        str | None,
        typer.Option(help="Last day that may be due, as 2000-12-31; yesterday (UTC) if not given."),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="First day that may be due; later ones train on those before it all the same. If not given, "
            "the day after the last one done, or the last day where none was.",
        ),
    ] = None,
    window: Window = 0,
    evaluation_days: EvaluationDays = SpanConfig.evaluation_days,
    allow_missing: AllowMissing = False,
    preset: Preset = PresetName["default"],
    seed: Seed = 0,
    cold: Cold = False,
    every: Annotated[
        float | None, typer.Option(min=0.001, help="Stay, and look again each time so many hours are over.")
    ] = None,
    show: Annotated[
        schedules.Clock | None,
        typer.Option("--print", help="Print what makes this machine call the command each night."),
    ] = None,
    runs: Runs = Path("runs"),
    beam_profile: beam_options.Profile = BeamProfile.LOCAL,
    beam_option: beam_options.Options = None,
) -> None:
    """Run the pipeline for each day that is due, in order, from the last one done on.

    A day is the last one of its evaluation span, as with `deepfm run --date`, which makes no day done. A day
    whose data or model a gate refused is done, unless its data change before the next one is; one that is
    missing stays due. With --every the command ends by SIGTERM or Ctrl-C: with 0 while it waits, with 130
    if that cut a day off.
    """
    if every is not None and date is not None:
        raise stop("with --every the last day is yesterday, each time anew: leave --date out")
    try:
        last, begin = _day("--date", date), _day("--from", first)
        dataset = find_dataset(data, runs)
        if not dataset.last_day:
            raise stop(f"{dataset.origin} is no folder of days; make one: `deepfm split-spans`")
        request = RunRequest(
            dataset=dataset,
            runs=runs,
            preset=preset,
            seed=seed,
            cold=cold,
            beam=beam_options.beam_config(beam_profile, beam_option),
            days=RunDays(
                run_date=str(last or _yesterday()),
                window_days=window,
                evaluation_days=evaluation_days,
                allow_missing=allow_missing,
            ),
        )
        past = retraining.past_days(request.config.root)
        if begin:
            retraining.require_forward(past, begin)
    except (DatasetError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    if not any(day.done for day in past):
        # As long as none is done, the last day alone is due: a first night that breaks would be passed over.
        begin = begin or last or _yesterday()
    if show:
        told = {"data": dataset.folder, "runs": runs.absolute(), **({"first": begin} if begin else {})}
        _print_schedule(show, context, told, dataset.name)
        return
    days = _Days(request=request, first=begin, last=last)
    if every is None:
        raise typer.Exit(days.catch_up())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service ends as by Ctrl-C
    while True:
        began = time.monotonic()
        if days.catch_up() == INTERRUPTED:
            raise typer.Exit(INTERRUPTED)
        try:
            time.sleep(max(0.0, every * 3600 - (time.monotonic() - began)))
        except KeyboardInterrupt:
            raise typer.Exit from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Days:
    """The days that a call looks after."""

    request: RunRequest  # of one of them
    first: datetime.date | None  # that may be due; None for any
    last: datetime.date | None  # None stands for yesterday

    def catch_up(self) -> int:
        """Run for each day that is due; return the exit status."""
        from components.errors import RunStoppedError  # noqa: PLC0415
        from pipeline import local  # noqa: PLC0415

        root = self.request.config.root
        try:
            beam_options.require_workers(self.request.beam)
            with local.locked(root) as lock:
                return self._run_each(lock)
        except typer.Exit as error:
            return error.exit_code
        except local.AlreadyRunningError as error:
            return stop(str(error), ALREADY_RUNNING).exit_code
        except RunStoppedError as error:
            return stop(str(error)).exit_code
        except OSError as error:
            return stop(f"cannot write to {root}: {error}").exit_code

    def _run_each(self, lock: int) -> int:
        from pipeline import local, retraining_record  # noqa: PLC0415

        root = self.request.config.root
        last = self.last or _yesterday()
        status, begun = 0, False
        # Each reads all files of its window; what changes meanwhile is for the next call.
        fingerprint = functools.cache(self._fingerprint)
        past = retraining.past_days(root)
        while due := retraining.next_due(past, self.first, last, fingerprint):
            request = self._request(due)
            facts = {**request.facts, retraining.INPUT_FINGERPRINT: fingerprint(due)}
            if not begun:
                say(f"{request.dataset.name}, {due} to {last}")
                say(retraining_record.head())
                begun = True
            outcome = local.run(request.config, facts, console, lock, brief=True)
            status = max(status, outcome.status)
            if outcome.summary is None:
                return status
            past = retraining.with_run(past, outcome.summary)
            retraining_record.write(past, root)
            found = retraining.day_of(outcome.summary)
            say(retraining_record.line(found))
            if not found.done:
                return status
        if begun:
            say(f"table {root / retraining_record.CSV_FILE}, plot {root / retraining_record.PLOT_FILE}")
        else:
            if past:  # a kill may have come before the last was written
                retraining_record.write(past, root)
            say(f"{self.request.dataset.name}: no day up to {last} is due")
        return status

    def _request(self, day: datetime.date) -> RunRequest:
        assert self.request.days
        days = dataclasses.replace(self.request.days, run_date=str(day))
        return dataclasses.replace(self.request, days=days)

    def _fingerprint(self, day: datetime.date) -> str:
        """Return the identity of what a run for a day would read."""
        with console.status("looking at the days"), quiet_imports():
            from components.ratings_example_gen.driver import fingerprint  # noqa: PLC0415
            from components.ratings_example_gen.inputs import find_inputs  # noqa: PLC0415

        folder = str(self.request.dataset.folder)
        return fingerprint(folder, find_inputs(folder, self._request(day).days))


def _yesterday() -> datetime.date:
    """Return the last day that is over, in UTC."""
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


def _day(option: str, text: str | None) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ValueError(f"{option} must be a date like 2000-12-31, got {text!r}") from error


def _print_schedule(
    clock: schedules.Clock, context: typer.Context, told: dict[str, Any], dataset: str
) -> None:
    """Print what calls this very command; what is told takes the place of what was given."""
    command = [str(Path(sys.executable).with_name("deepfm")), "retrain"]
    for parameter in context.command.params:
        name, value = parameter.name or "", context.params.get(parameter.name or "")
        if name in ("show", "every") or (name not in told and value == parameter.default):
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            command += [parameter.opts[0], *([] if one is True else [str(told.get(name, one))])]
    if clock is schedules.Clock.CRON:
        say(schedules.cron(command, Path.cwd(), told["runs"] / _LOG).rstrip("\n"))
        return
    for name, text in schedules.systemd(
        command, Path.cwd(), getpass.getuser(), f"{_UNITS}-{dataset}"
    ).items():
        say(f"# /etc/systemd/system/{name}\n{text}")
