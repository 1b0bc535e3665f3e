"""Kubeflow Pipelines through its client: versions of the pipeline, recurring runs, and runs of days."""

import contextlib
import dataclasses
import datetime
import hashlib
import http
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
import yaml
from kfp import client as kfp_client

SCHEDULED_DAY = "[[ScheduledTime.2006-01-02]]"
"""What the back end replaces by the day, in UTC, that a recurring run is due (a layout of Go's `time`)."""

SUCCEEDED = "SUCCEEDED"
_FAILED = ("FAILED", "CANCELED", "SKIPPED")
_PAGE = 100
_TAKES_OVER = "Takes the place of {}, which was on."  # description of a new recurring run


class ServiceError(Exception):
    """Kubeflow Pipelines cannot be asked, or does not do what it was asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Package:
    """What `deepfm compile` wrote."""

    path: Path
    pipeline: str  # its name
    version: str  # of this content
    of_days: bool  # a run needs a date


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """A package that Kubeflow Pipelines has; ids are its own."""

    pipeline_id: str
    version_id: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A recurring run that is wanted."""

    name: str
    cron: str  # of six fields, in UTC
    catch_up: bool  # run each interval that was missed
    parameters: Mapping[str, str | int]
    service_account: str | None  # of the pods; None for the back end's own
    max_concurrency: int = 1  # runs at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurringRun:
    """A recurring run that is there."""

    id: str
    schedule: Schedule
    enabled: bool
    description: str
    version: Version
    experiment_id: str
    bounded: bool  # it begins or ends at some time
    pipeline_root: str  # address of the artifacts; "" for the package's or the back end's own


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was begun at some time."""

    id: str
    name: str
    day: datetime.date | None  # last one that it reads; None of a flat dataset
    state: str  # as Kubeflow Pipelines names it

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self.state in _FAILED

    @property
    def active(self) -> bool:
        """Whether it has yet to end."""
        return not self.failed and self.state != SUCCEEDED


def read_package(path: Path) -> Package:
    """Read of a package what the service has to know.

    Raises:
      ValueError: it is none.
      OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        spec = next(iter(yaml.safe_load_all(content)))
        pipeline = spec["pipelineInfo"]["name"]
        parameters = spec["root"]["inputDefinitions"]["parameters"]
    except (yaml.YAMLError, UnicodeDecodeError, StopIteration, KeyError, TypeError):
        raise ValueError(f"{path} is no package of a pipeline: write one with `deepfm compile`") from None
    return Package(
        path=path,
        pipeline=pipeline,
        version=f"sha256-{hashlib.sha256(content).hexdigest()[:16]}",
        of_days="run_date" in parameters,
    )


class Service:
    """Kubeflow Pipelines at one address.

    Each call can be made again: it changes nothing where all is as wanted, and goes on where an earlier one
    was cut off.

    Args:
      host: address of the API; "" for what kfp finds: the environment, the cluster, or kubectl's.
      namespace: of the user, where several share an installation; "" if not.

    Raises:
      ServiceError: it cannot be reached, here and in each method.
    """

    def __init__(self, host: str, namespace: str) -> None:
        with _told(host):
            self._client = kfp_client.Client(
                host=host or None, **({"namespace": namespace} if namespace else {})
            )
        self._host = host or self._client._existing_config.host
        self._namespace = self._client.get_user_namespace()

    def upload(self, package: Package) -> Version:
        """Return the version of a package, uploaded if Kubeflow Pipelines does not have it yet."""
        with _told(self._host):
            namespace = self._namespace or None
            found = [
                *self._all(
                    self._client.list_pipelines, "pipelines", name=package.pipeline, namespace=namespace
                )
            ] or [
                self._client.pipelines.pipeline_service_create_pipeline(
                    pipeline=kfp_server_api.V2beta1Pipeline(
                        display_name=package.pipeline, namespace=namespace
                    )
                )
            ]
            pipeline_id = found[0].pipeline_id
            versions = [
                *self._all(
                    self._client.list_pipeline_versions,
                    "pipeline_versions",
                    name=package.version,
                    pipeline_id=pipeline_id,
                )
            ] or [
                self._client.upload_pipeline_version(
                    str(package.path), pipeline_version_name=package.version, pipeline_id=pipeline_id
                )
            ]
        return Version(pipeline_id=pipeline_id, version_id=versions[0].pipeline_version_id)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if there is none of the name."""
        with _told(self._host):
            return self._client.create_experiment(name, namespace=self._namespace or None).experiment_id

    def recurring_runs(self, name: str | None = None) -> list[RecurringRun]:
        """Return the recurring runs, or those of a name, the oldest first."""
        with _told(self._host):
            return [
                _recurring_run(found)
                for found in self._all(
                    self._client.list_recurring_runs,
                    "recurring_runs",
                    name=name,
                    sort_by="created_at asc",
                    namespace=self._namespace or None,
                )
            ]

    def schedule(self, wanted: Schedule, version: Version, experiment_id: str) -> RecurringRun | None:
        """Let the recurring run that is wanted be the only one of its name.

        A recurring run cannot be edited. A new one is made, paused; then the old one is paused, the new one
        goes on, and the old one is deleted: there is always one, and never are two of them on. If what was
        there was paused, so is the new one. Calls at once may make one each: the last of them leaves one.

        Returns:
          The new one; None if what was there is as wanted.

        Raises:
          ServiceError: another call left one that is not as wanted.
        """
        old = self._only(wanted.name)
        if old and _as_wanted(old, wanted, version, experiment_id):
            return None
        with _told(self._host):
            new = _recurring_run(
                self._client.create_recurring_run(
                    experiment_id,
                    wanted.name,
                    description=_TAKES_OVER.format(old.id) if old and old.enabled else None,
                    cron_expression=wanted.cron,
                    max_concurrency=wanted.max_concurrency,
                    no_catchup=not wanted.catch_up,
                    params=dict(wanted.parameters),
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    enabled=old is None,
                    service_account=wanted.service_account,
                )
            )
        if old and old.enabled:
            self._turn(old, on=False)
            self._turn(new, on=True)
        kept = self._only(wanted.name)
        if kept is None or (kept.id != new.id and not _as_wanted(kept, wanted, version, experiment_id)):
            raise ServiceError(f"another call changed the schedule {wanted.name} meanwhile: call again")
        return kept

    def pause(self, name: str) -> bool:
        """Let no run of a name begin until it is resumed; return whether there is a recurring run of it."""
        return self._only(name, on=False) is not None

    def resume(self, name: str) -> bool:
        """Let runs of a name begin again; return whether there is a recurring run of it."""
        return self._only(name, on=True) is not None

    def delete(self, name: str) -> bool:
        """Delete what recurs under a name; runs under way go on. Return whether there was any."""
        found = self.recurring_runs(name)
        for one in found:
            self._delete(one)
        return bool(found)

    def _only(self, name: str, *, on: bool | None = None) -> RecurringRun | None:
        """Return the recurring run of a name after the others were deleted, on or paused as asked or as was.

        There are others where a call was cut off, or somebody made them.
        """
        found = self.recurring_runs(name)
        if not found:
            return None
        kept, was_on = _kept(found)
        on = was_on if on is None else on
        if on and not kept.enabled:
            self._turn(kept, on=True)
        for one in found:
            if one is not kept:
                self._delete(one)
        if not on and kept.enabled:
            self._turn(kept, on=False)
        return dataclasses.replace(kept, enabled=on)

    def _turn(self, recurring_run: RecurringRun, *, on: bool) -> None:
        with _told(self._host):
            if on:
                self._client.enable_recurring_run(recurring_run.id)
            else:
                self._client.disable_recurring_run(recurring_run.id)

    def _delete(self, recurring_run: RecurringRun) -> None:
        """Delete one, unless another call did; a run of it that is under way goes on."""
        # A recurring run owns the workflows of its runs, and Kubernetes deletes what is owned, unless told
        # otherwise (https://github.com/kubeflow/pipelines/issues/12573); kfp's own method does not tell.
        with _told(self._host):
            try:
                self._client._recurring_run_api.recurring_run_service_delete_recurring_run(
                    recurring_run_id=recurring_run.id,
                    propagation_policy=kfp_server_api.V2beta1DeletePropagationPolicy.ORPHAN,
                )
            except kfp_server_api.ApiException as error:
                if error.status != http.HTTPStatus.NOT_FOUND:
                    raise

    def runs(self, experiment_id: str) -> list[Run]:
        """Return the runs of an experiment, the latest first."""
        with _told(self._host):
            return [
                _run(found)
                for found in self._all(
                    self._client.list_runs, "runs", experiment_id=experiment_id, sort_by="created_at desc"
                )
            ]

    def run(self, run_id: str) -> Run:
        """Return a run as it is now."""
        with _told(self._host):
            return _run(self._client.get_run(run_id))

    def submit(
        self,
        name: str,
        parameters: Mapping[str, str | int],
        version: Version,
        experiment_id: str,
        service_account: str | None,
    ) -> Run:
        """Begin a run."""
        with _told(self._host):
            return _run(
                self._client.run_pipeline(
                    experiment_id,
                    name,
                    params=dict(parameters),
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    service_account=service_account,
                )
            )

    def link(self, run: Run) -> str:
        """Return where a person sees a run."""
        return f"{self._client._get_url_prefix()}/#/runs/details/{run.id}"

    def _all(
        self, method: Callable[..., Any], field: str, *, name: str | None = None, **arguments: Any
    ) -> Iterator[Any]:
        """Yield what a method lists, page by page; only what has the name, if one is given."""
        if name is not None:
            predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
            arguments["filter"] = json.dumps({"predicates": [predicate]})
        token = ""
        while True:
            page = method(page_token=token, page_size=_PAGE, **arguments)
            yield from getattr(page, field) or []
            token = page.next_page_token
            if not token:
                return


def _kept(found: list[RecurringRun]) -> tuple[RecurringRun, bool]:
    """Return which of several of a name stays, and whether it is to be on.

    One that is on stays, and not the one that was to take its place: that would begin anew what was due
    since it was made. If none is on, a new one had taken over but for going on, or all were paused, and the
    newest has the place of the others.
    """
    on = [one for one in found if one.enabled]
    if on:
        return on[0], True
    texts = {_TAKES_OVER.format(one.id) for one in found}
    taking_over = [one for one in found if one.description in texts]
    return (taking_over or found)[-1], bool(taking_over)


def _as_wanted(found: RecurringRun, wanted: Schedule, version: Version, experiment_id: str) -> bool:
    """Return whether one is as `Service.schedule` makes it, but for being on."""
    account = wanted.service_account or found.schedule.service_account  # the back end names its own
    made = dataclasses.replace(
        found,
        schedule=dataclasses.replace(wanted, service_account=account),
        version=version,
        experiment_id=experiment_id,
        bounded=False,
        pipeline_root="",
    )
    return found == made


def _recurring_run(found: kfp_server_api.V2beta1RecurringRun) -> RecurringRun:
    schedule = found.trigger and found.trigger.cron_schedule
    reference = found.pipeline_version_reference
    return RecurringRun(
        id=found.recurring_run_id,
        schedule=Schedule(
            name=found.display_name,
            cron=schedule.cron if schedule else "",
            catch_up=not found.no_catchup,
            parameters=(found.runtime_config and found.runtime_config.parameters) or {},
            service_account=found.service_account or None,
            max_concurrency=int(found.max_concurrency or 0),
        ),
        enabled=found.mode == "ENABLE",
        description=found.description or "",
        version=Version(
            pipeline_id=reference.pipeline_id if reference else "",
            version_id=reference.pipeline_version_id if reference else "",
        ),
        experiment_id=found.experiment_id,
        bounded=bool(schedule and (schedule.start_time or schedule.end_time)),
        pipeline_root=(found.runtime_config and found.runtime_config.pipeline_root) or "",
    )


def _run(found: kfp_server_api.V2beta1Run) -> Run:
    parameters = (found.runtime_config and found.runtime_config.parameters) or {}
    run_date = str(parameters.get("run_date", ""))
    day = None
    with contextlib.suppress(ValueError):
        # Of a recurring run's runs the back end may show what it was told, not what it made of it.
        began = (
            found.scheduled_at.date() if run_date == SCHEDULED_DAY else datetime.date.fromisoformat(run_date)
        )
        day = began - datetime.timedelta(days=int(parameters.get("lag_days", 0)))
    return Run(id=found.run_id, name=found.display_name, day=day, state=found.state or "PENDING")


@contextlib.contextmanager
def _told(host: str) -> Iterator[None]:
    """Let kfp's client print nothing, and say in one sentence what is wrong.

    Raises:
      ServiceError: the client raised.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    except kfp_server_api.ApiException as error:
        raise ServiceError(f"Kubeflow Pipelines refused: {_message(error)}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ServiceError(
            f"Kubeflow Pipelines cannot be reached at {host or 'its default address'}: "
            f"{getattr(error, 'reason', None) or error}; "
            "give --host, or set KF_PIPELINES_ENDPOINT"
        ) from error
    finally:
        logging.disable(before)


def _message(error: kfp_server_api.ApiException) -> str:
    """Return what the service said, of its JSON if it is some."""
    try:
        said = json.loads(error.body)
    except (TypeError, ValueError):
        said = {}
    text = said.get("message") or said.get("error_details") if isinstance(said, dict) else None
    return f"{error.status} {error.reason}" + (f": {text}" if text else "")
