"""The commands of `deepfm` on Kubeflow Pipelines: runs each night, now, and for days that are past."""

import datetime
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape
from rich.table import Table

from components.ratings_example_gen.config import RunDays
from pipeline.kubeflow import cron as crontab
from pipeline.terminal import console, say, stop, wide

if TYPE_CHECKING:
    from pipeline.kubeflow.service import Package, RecurringRun, Run, Schedule, Service, Version

app = typer.Typer()

_POLL_SECONDS = 15.0  # between two looks at a run that goes on
_ONE_DAY = datetime.timedelta(days=1)

PackageFile = Annotated[Path, typer.Argument(help="Package of `deepfm compile`.", metavar="PACKAGE")]
Host = Annotated[
    str,
    typer.Option(help="Address of the API; what kfp finds if not given: KF_PIPELINES_ENDPOINT, kubectl's."),
]
Namespace = Annotated[str, typer.Option(help="Of the user, where several share an installation.")]
ServiceAccount = Annotated[str | None, typer.Option(help="Of the pods; the back end's own if not given.")]
Window = Annotated[
    int | None, typer.Option(min=0, help="Days to train on; 0 for all; the package's if not given.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")]


@app.command()
def schedule(
    package: Annotated[
        Path | None, typer.Argument(help="Package of `deepfm compile`.", metavar="PACKAGE")
    ] = None,
    cron: Annotated[
        str | None, typer.Option(help="Minute, hour, day, month, weekday, in UTC, as '0 3 * * *'.")
    ] = None,
    window: Window = None,
    lag: Annotated[
        int, typer.Option(min=0, help="Days from the last day that is read to that of the run.")
    ] = 1,
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Run each day that was missed while paused.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Of the schedule; the pipeline's if not given.")] = None,
    service_account: ServiceAccount = None,
    list_all: Annotated[bool, typer.Option("--list", help="List all schedules.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Begin no more runs.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Begin runs again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the schedule.")] = False,
    host: Host = "",
    namespace: Namespace = "",
    dry_run: DryRun = False,
) -> None:
    """Run the pipeline on Kubeflow Pipelines at set times, for the day before: one schedule of each name."""
    from pipeline.kubeflow.service import SCHEDULED_DAY, Schedule, ServiceError  # noqa: PLC0415

    asked = {"--list": list_all, "--pause": pause, "--resume": resume, "--delete": delete, "--cron": cron}
    given = [flag for flag, value in asked.items() if value]
    if len(given) != 1:
        raise stop(f"give one of {', '.join(asked)}, got {' and '.join(given) or 'none'}")
    try:
        if list_all:
            _print_schedules(_service(host, namespace).recurring_runs())
            return
        read = None if package is None else _read(package, of_days=True)
        if cron is not None:
            if read is None:
                raise stop("--cron needs a package: write one with `deepfm compile --spans`")
            wanted = Schedule(
                name=name or read.pipeline,
                cron=crontab.six_fields(cron),
                catch_up=catch_up,
                parameters=_parameters(SCHEDULED_DAY, lag, window),
                service_account=service_account,
            )
            if dry_run:
                _print_json(
                    {"pipeline": read.pipeline, "version": read.version, "recurring_run": vars(wanted)}
                )
                return
            _put(_service(host, namespace), read, wanted)
            return
        name = name or (read.pipeline if read else None)
        if name is None:
            raise stop(f"{given[0]} needs the package, or the --name of the schedule")
        if dry_run:
            _print_json({given[0].removeprefix("--"): name})
            return
        _change(_service(host, namespace), name, given[0])
    except (ServiceError, ValueError, OSError) as error:
        raise stop(str(error)) from error


@app.command()
def submit(
    package: PackageFile,
    date: Annotated[
        str | None, typer.Option(help="Of a package of days: last day of the evaluation span, as 2000-12-31.")
    ] = None,
    window: Window = None,
    accept_data: Annotated[
        bool,
        typer.Option("--accept-data", help="Let data pass that is not like before: DataGate only warns."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also if there is a run for the day that did not fail.")
    ] = False,
    service_account: ServiceAccount = None,
    host: Host = "",
    namespace: Namespace = "",
    dry_run: DryRun = False,
) -> None:
    """Run the pipeline once on Kubeflow Pipelines, now."""
    from pipeline.kubeflow.service import ServiceError  # noqa: PLC0415

    try:
        read = _read(package, of_days=date is not None)
        if read.of_days and date is None:
            raise stop(f"{package} is for a folder of days: give --date")
        day = None if date is None else RunDays(run_date=date, window_days=window or 0).last_day
        wanted = _wanted(read, day, window)
        if accept_data:
            wanted["parameters"]["accept_data"] = True
        if dry_run:
            _print_json({"pipeline": read.pipeline, "version": read.version, "runs": [wanted]})
            return
        service = _service(host, namespace)
        version = service.upload(read)
        experiment = service.experiment(read.pipeline)
        before = [] if again else [r for r in service.runs(experiment) if _is_for(r, wanted["name"], day)]
        found = next((run for run in before if not run.failed), None)
        if found:
            say(f"{found.name} is there, {found.state.lower()}: {service.link(found)}")
            return
        run = service.submit(wanted["name"], wanted["parameters"], version, experiment, service_account)
        say(f"{run.name} submitted: {service.link(run)}")
    except (ServiceError, ValueError, OSError) as error:
        raise stop(str(error)) from error


@app.command()
def backfill(
    package: PackageFile,
    first: Annotated[str, typer.Argument(help="First day, as 2000-12-01.", metavar="FROM")],
    last: Annotated[str, typer.Argument(help="Last day.", metavar="TO")],
    window: Window = None,
    service_account: ServiceAccount = None,
    host: Host = "",
    namespace: Namespace = "",
    dry_run: DryRun = False,
) -> None:
    """Run the pipeline on Kubeflow Pipelines for each of some days, in order, but for those that are done.

    Each run begins with the model of the one before, so it waits for it; a day whose run fails ends it.
    """
    from pipeline.kubeflow.service import ServiceError  # noqa: PLC0415

    try:
        read = _read(package, of_days=True)
        begin, end = (RunDays(run_date=text, window_days=window or 0).last_day for text in (first, last))
        if begin > end:
            raise stop(f"FROM must not be after TO, got {begin} and {end}")
        days = [begin + number * _ONE_DAY for number in range((end - begin).days + 1)]
        if dry_run:
            runs = [_wanted(read, day, window) for day in days]
            _print_json({"pipeline": read.pipeline, "version": read.version, "runs": runs})
            return
        service = _service(host, namespace)
        version = service.upload(read)
        experiment = service.experiment(read.pipeline)
        for one in service.recurring_runs():
            if one.enabled and one.version.pipeline_id == version.pipeline_id:
                raise stop(
                    f"the schedule {one.schedule.name} could run between the days: pause it first, "
                    f"`deepfm schedule --pause --name {one.schedule.name}`"
                )
        for day in days:
            _fill(service, read, version, experiment, day, window, service_account)
    except (ServiceError, ValueError, OSError) as error:
        raise stop(str(error)) from error


@app.command()
def manifests(
    volume: Annotated[
        list[str] | None, typer.Option(help="CLAIM:SIZE, a volume claim and how large; repeatable.")
    ] = None,
    storage_class: Annotated[
        str | None, typer.Option(help="Of the volumes; the cluster's default if not given.")
    ] = None,
    endpoint: Annotated[
        str,
        typer.Option(
            help="Host of the object store that s3:// addresses are of, as s3.amazonaws.com; its key is in "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ),
    ] = "",
    pipeline_root: Annotated[
        str,
        typer.Option(
            help="Of --endpoint: address of the artifacts of runs that name none, s3:// or minio://."
        ),
    ] = "",
    region: Annotated[str, typer.Option(help="Of the object store.")] = "us-east-1",
    tls: Annotated[bool, typer.Option(help="Whether the object store speaks TLS.")] = True,
    namespace: Annotated[str, typer.Option(help="Where the runs' pods are.")] = "kubeflow",
    service_account: Annotated[str, typer.Option(help="Of the pods.")] = "deepfm",
) -> None:
    """Print what the cluster needs for the runs: `deepfm manifests … | kubectl apply -f -`."""
    from pipeline.kubeflow.manifests import ClusterConfig, StoreConfig  # noqa: PLC0415
    from pipeline.kubeflow.manifests import manifests as objects  # noqa: PLC0415

    if pipeline_root and not endpoint:
        raise stop(f"{pipeline_root} needs the host of its store: --endpoint, as s3.amazonaws.com")
    keys = [os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    if endpoint and not all(keys):
        raise stop(f"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to the key of {endpoint}")
    try:
        store = (
            StoreConfig(
                endpoint=endpoint,
                access_key=keys[0],
                secret_key=keys[1],
                region=region,
                tls=tls,
                pipeline_root=pipeline_root,
            )
            if endpoint
            else None
        )
        config = ClusterConfig(
            namespace=namespace,
            service_account=service_account,
            volumes={claim: size for claim, _, size in (text.partition(":") for text in volume or [])},
            storage_class=storage_class,
            store=store,
        )
    except ValueError as error:
        raise stop(str(error)) from error
    typer.echo(yaml.safe_dump_all(objects(config), sort_keys=False, width=1000), nl=False)


def _service(host: str, namespace: str) -> "Service":
    from pipeline.kubeflow.service import Service  # noqa: PLC0415

    return Service(host, namespace)


def _read(path: Path, *, of_days: bool) -> "Package":
    """Read a package, which must be one of days if so asked."""
    from pipeline.kubeflow.service import read_package  # noqa: PLC0415

    read = read_package(path)
    if of_days and not read.of_days:
        raise stop(
            f"{path} is for a flat dataset, which has no days: write one with `deepfm compile --spans`"
        )
    return read


def _parameters(run_date: str | None, lag: int, window: int | None) -> dict[str, str | int]:
    """Return what a run is told; the rest is as compiled."""
    parameters: dict[str, str | int] = {}
    if run_date is not None:
        parameters |= {"run_date": run_date, "lag_days": lag}
    if window is not None:
        parameters["window_days"] = window
    return parameters


def _wanted(package: "Package", day: datetime.date | None, window: int | None) -> dict[str, Any]:
    """Return the name of a run, the same each time, and its parameters."""
    if day is None and window is not None:
        raise stop(f"{package.path} is for a flat dataset, which has no days: leave --window out")
    run_date = None if day is None else str(day)
    return {
        "name": f"{package.pipeline} {run_date or package.version}",
        "parameters": _parameters(run_date, 0, window),
    }


def _is_for(run: "Run", name: str, day: datetime.date | None) -> bool:
    return run.name == name if day is None else run.day == day


def _put(service: "Service", package: "Package", wanted: "Schedule") -> None:
    """Upload a package and let a schedule of it be the only one of its name."""
    version = service.upload(package)
    made = service.schedule(wanted, version, service.experiment(package.pipeline))
    paused = made and not made.enabled
    say(
        f"schedule {wanted.name}: {wanted.cron} UTC, version {package.version}"
        + (", paused as before: --resume" if paused else "" if made else ", as it was")
    )


def _change(service: "Service", name: str, flag: str) -> None:
    """Pause, resume or delete what has a name."""
    change, past = {
        "--pause": (service.pause, "paused"),
        "--resume": (service.resume, "resumed"),
        "--delete": (service.delete, "deleted"),
    }[flag]
    found = change(name)
    if not found and flag != "--delete":
        raise stop(f"no schedule is named {name}: see `deepfm schedule --list`")
    say(f"schedule {name} {past}" if found else f"no schedule is named {name}")


def _fill(
    service: "Service",
    package: "Package",
    version: "Version",
    experiment: str,
    day: datetime.date,
    window: int | None,
    service_account: str | None,
) -> None:
    """See to it that a day has a run that succeeded."""
    runs = service.runs(experiment)
    if any(run.day == day and run.state == "SUCCEEDED" for run in runs):
        say(f"{day} is done")
        return
    for other in runs:
        if other.active and other.day != day:
            raise stop(f"{other.name} has yet to end: {service.link(other)}; call again after it")
    run = next((run for run in runs if run.active), None)
    if run is None:
        wanted = _wanted(package, day, window)
        run = service.submit(wanted["name"], wanted["parameters"], version, experiment, service_account)
    say(f"{day} runs: {service.link(run)}")
    with console.status(f"{day}"):
        while run.active:
            time.sleep(_POLL_SECONDS)
            run = service.run(run.id)
    if run.failed:
        raise stop(f"{day} {run.state.lower()}: {service.link(run)}; the days after it were not submitted")
    say(f"{day} is done")


def _print_schedules(found: "list[RecurringRun]") -> None:
    table = Table("name", "at (UTC)", "state", "missed runs", "parameters", box=None)
    for one in sorted(found, key=lambda one: one.schedule.name):
        table.add_row(
            escape(one.schedule.name),
            one.schedule.cron or "-",
            "on" if one.enabled else "paused",
            "caught up" if one.schedule.catch_up else "left out",
            escape(", ".join(f"{name}={value}" for name, value in sorted(one.schedule.parameters.items()))),
        )
    wide.print(table)


def _print_json(content: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2))
