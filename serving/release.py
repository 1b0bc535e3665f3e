"""Which version is released: the labels that servers follow, and who moved them, when and why.

`releases.jsonl` in the serving folder is the truth: each line is a release, the last one holds. From it comes
`models.config` beside the folder, which a server starts with, and `serving.follower` takes the servers that
run to it (https://www.tensorflow.org/tfx/serving/serving_config). The stable version before this one stays
loaded as long as it is the older, so that the label can move back at once; a newer one does not, since a
request without a label is for the newest version that is loaded.
"""

import dataclasses
import datetime
import getpass
import json
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from google.protobuf import text_format

from serving import errors, request_log, versions
from serving.protos import logging_config_pb2, model_server_config_pb2

STABLE: Final = "stable"
CANARY: Final = "canary"
MODELS_CONFIG: Final = "models.config"

_RELEASES = "releases.jsonl"
_REQUEST_LOGGING = "request_logging.config"  # a LoggingConfig as text; outlives each move of a label


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """Which versions carry a label, and how it came to that."""

    stable: int | None = None  # None where nothing was released: the latest version is served
    previous: int | None = None  # what a rollback goes to; stays loaded if it is the older
    canary: int | None = None
    canary_percent: float = 0.0  # of the users, 0 to 100
    action: str = ""  # publish, canary, promote or rollback
    reason: str = ""
    who: str = ""  # user@host
    time: str = ""  # ISO 8601, UTC

    def __post_init__(self) -> None:
        if not 0 <= self.canary_percent <= 100:
            raise ValueError(f"`canary_percent` must be from 0 to 100, got {self.canary_percent}")

    @property
    def labels(self) -> dict[str, int]:
        """The version of each label.

        Without a canary that label is the stable version's too: clients that still share users out must not
        fail.
        """
        if self.stable is None:
            return {}
        return {STABLE: self.stable, CANARY: self.stable if self.canary is None else self.canary}


def releases(base_path: str | Path) -> list[Release]:
    """Return every release, oldest first; a last line that a crash cut short is left out.

    Raises:
        ValueError: A line is damaged; the message names it.
    """
    path = Path(base_path, _RELEASES)
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            found.append(Release(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}, is no release: {error}") from error
    return found


def state(base_path: str | Path) -> tuple[int, int] | None:
    """Return what changes with each release: size and time of the record, or None where there is none."""
    try:
        found = Path(base_path, _RELEASES).stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def current(base_path: str | Path) -> Release:
    """Return the release that holds.

    Raises:
        ValueError: As `releases`.
    """
    return next(reversed(releases(base_path)), Release())


def holding(base_path: str | Path) -> Release:
    """Return the release that holds, of the versions that are there.

    In place of a stable version that was removed by hand comes the last one before it; a canary that was
    removed is none.

    Raises:
        ValueError: As `releases`.
    """
    there = versions.versions(base_path)
    found = releases(base_path)
    now = next(reversed(found), Release())
    return dataclasses.replace(
        now,
        stable=next((version for version in reversed(_stables(found)) if version in there), None),
        previous=now.previous if now.previous in there else None,
        canary=now.canary if now.canary in there else None,
    )


def fallbacks(base_path: str | Path) -> list[int]:
    """Return what there is of the versions that were stable before, the last one first.

    Raises:
        ValueError: As `releases`.
    """
    there = versions.versions(base_path)
    return [version for version in reversed(_stables(releases(base_path))[:-1]) if version in there]


def served(base_path: str | Path) -> int | None:
    """Return the stable version, or the latest where none is there; None for an empty folder."""
    stable = holding(base_path).stable
    return versions.latest(base_path) if stable is None else stable


def publish(base_path: str | Path, version: int) -> Release:
    """Make a version that was just pushed the stable one; a canary goes on.

    A version that was stable before is not brought back: pushing it again must not undo a rollback.

    Raises:
        ModelNotFound: There is no such version.
    """

    def change(history: Sequence[Release], now: Release) -> Release:
        versions.require(base_path, version)
        known = {release.stable for release in history}
        return now if version in known else _stable(now, version)

    return _change(base_path, "publish", "pushed", change)


def promote(base_path: str | Path, version: int, reason: str) -> Release:
    """Make a version the stable one, and end its being the canary.

    Raises:
        ModelNotFound: There is no such version.
    """

    def change(history: Sequence[Release], now: Release) -> Release:
        versions.require(base_path, version)
        return _stable(now, version)

    return _change(base_path, "promote", reason, change)


def rollback(base_path: str | Path, reason: str, version: int | None = None) -> Release:
    """Make an earlier version the stable one again, and end the canary.

    Args:
        base_path: The serving folder.
        reason: Why; recorded.
        version: Which; None for the stable version before this one, of those that were not rolled back
            themselves.

    Raises:
        ModelNotFound: There is no such version.
        InvalidRequest: No version was stable before, and none is given; or it is the stable one.
    """

    def change(history: Sequence[Release], now: Release) -> Release:
        target = now.previous if version is None else version
        if target is None:
            raise errors.InvalidRequest("no version was stable before this one; say which to go back to")
        versions.require(base_path, target)
        if target == now.stable:
            raise errors.InvalidRequest(f"version {target} is the stable one already")
        before = _stables(history)
        previous = before[before.index(target) - 1] if target in before[1:] else None
        return dataclasses.replace(now, stable=target, previous=previous, canary=None, canary_percent=0.0)

    return _change(base_path, "rollback", reason, change)


def canary(base_path: str | Path, version: int, percent: float, reason: str) -> Release:
    """Serve a version under its label to a share of the users; 0 percent ends it.

    Args:
        base_path: The serving folder.
        version: Which.
        percent: Share of the users, 0 to 100.
        reason: Why; recorded.

    Raises:
        ModelNotFound: There is no such version.
        InvalidRequest: The version is the stable one, or there is none.
        ValueError: The percentage is out of its range.
    """

    def change(history: Sequence[Release], now: Release) -> Release:
        versions.require(base_path, version)
        if now.stable is None:
            raise errors.InvalidRequest(
                "no version is stable yet, beside which there can be a canary; promote one"
            )
        if version == now.stable:
            raise errors.InvalidRequest(f"version {version} is the stable one already")
        return dataclasses.replace(now, canary=version if percent else None, canary_percent=percent)

    return _change(base_path, "canary", reason, change)


def prune(base_path: str | Path, keep: int, spare: Collection[int] = ()) -> list[int]:
    """Remove old versions, never one that carries a label or one of the two that were stable before.

    Args:
        base_path: The serving folder.
        keep: How many of the newest stay in any case, at least 1.
        spare: Versions that stay too, such as those that a server has loaded.

    Returns:
        The versions that were removed, oldest first.

    Raises:
        ValueError: `keep` is below 1, or as `releases`.
    """
    if keep < 1:
        raise ValueError(f"`keep` must be at least 1, got {keep}")
    base = Path(base_path)
    if not base.is_dir():
        return []
    with versions.locked(base):
        there = versions.versions(base)
        stables = [version for version in _stables(releases(base)) if version in there]
        kept = {*there[-keep:], *holding(base).labels.values(), *stables[-3:], *spare}
        old = [version for version in there if version not in kept]
        for version in old:
            versions.remove(base, version)
    return old


def models_config(base_path: str | Path) -> model_server_config_pb2.ModelServerConfig:
    """Return what servers are to be told: the versions to load and their labels.

    The model's name is that of its folder.

    Raises:
        ValueError: As `releases`.
    """
    now = holding(base_path)
    loaded = set(now.labels.values())
    if now.previous is not None and now.stable is not None and now.previous < now.stable:
        loaded.add(now.previous)
    base = Path(base_path).absolute()
    return server_config(base.name, base, sorted(loaded), now.labels, request_logging(base))


def server_config(
    model_name: str,
    base_path: PurePath,
    wanted: Sequence[int],
    labels: Mapping[str, int],
    log: logging_config_pb2.LoggingConfig | None = None,
) -> model_server_config_pb2.ModelServerConfig:
    """Return the configuration of a server of one model.

    Args:
        model_name: Name that clients ask for.
        base_path: Folder of the numbered versions, as the server sees it.
        wanted: Versions to load; empty means the latest.
        labels: The version of each label.
        log: How to log requests; None for not at all.
    """
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(
        name=model_name, base_path=str(base_path), model_platform="tensorflow"
    )
    if wanted:
        model.model_version_policy.specific.versions.extend(wanted)
    else:
        model.model_version_policy.latest.num_versions = 1
    model.version_labels.update(labels)
    if log is not None:
        model.logging_config.CopyFrom(log)
    return config


def request_logging(base_path: str | Path) -> logging_config_pb2.LoggingConfig | None:
    """Return how servers are to log requests; None for not at all.

    Raises:
        ValueError: The file that says so is damaged.
    """
    path = Path(base_path, _REQUEST_LOGGING)
    if not path.is_file():
        return None
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), logging_config_pb2.LoggingConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no LoggingConfig: {error}") from error


def log_requests(base_path: str | Path, sampling_rate: float) -> None:
    """Let servers log a sample of the requests, from now on and over every move of a label.

    Args:
        base_path: The serving folder.
        sampling_rate: Share of the requests, 0 to 1; 0 for none.

    Raises:
        ValueError: The rate is out of its range, or as `releases`.
    """
    if not 0 <= sampling_rate <= 1:
        raise ValueError(f"the share of requests to log must be from 0 to 1, got {sampling_rate}")
    base = Path(base_path).absolute()
    with versions.locked(base):
        if sampling_rate:
            config = logging_config_pb2.LoggingConfig()
            config.log_collector_config.type = request_log.TYPE
            config.log_collector_config.filename_prefix = str(request_log.prefix(base))
            config.sampling_config.sampling_rate = sampling_rate
            versions.replace(base / _REQUEST_LOGGING, text_format.MessageToString(config))
        else:
            (base / _REQUEST_LOGGING).unlink(missing_ok=True)
        _write_models_config(base)


def write_models_config(base_path: str | Path) -> Path:
    """Write `models.config` beside the serving folder, whole or not at all; return its path.

    Raises:
        ValueError: As `releases`.
        OSError: It cannot be written.
    """
    with versions.locked(Path(base_path)):
        return _write_models_config(base_path)


def _write_models_config(base_path: str | Path) -> Path:
    path = Path(base_path).absolute().with_name(MODELS_CONFIG)
    versions.replace(path, text_format.MessageToString(models_config(base_path)))
    return path


def _stables(history: Sequence[Release]) -> list[int]:
    """Return the versions that were stable, in order, without those that were rolled back."""
    stables: list[int] = []
    for release in history:
        if release.stable is None or stables[-1:] == [release.stable]:
            continue
        if release.action == "rollback":
            kept = stables.index(release.stable) if release.stable in stables else len(stables) - 1
            del stables[kept:]
        stables.append(release.stable)
    return stables


def _stable(now: Release, version: int) -> Release:
    """Give a version the label `stable`."""
    if version == now.stable:
        return now
    changed = dataclasses.replace(now, stable=version, previous=now.stable)
    return dataclasses.replace(changed, canary=None, canary_percent=0.0) if version == now.canary else changed


def _change(
    base_path: str | Path,
    action: str,
    reason: str,
    change: Callable[[Sequence[Release], Release], Release],
) -> Release:
    """Append a release and let servers know; a release that changes no label is not repeated."""
    base = Path(base_path)
    if not base.is_dir():
        raise errors.ModelNotFound(f"there is no serving folder {base}")
    with versions.locked(base):
        history = releases(base)
        now = next(reversed(history), Release())
        changed = change(history, now)
        if changed != now:
            changed = dataclasses.replace(
                changed,
                action=action,
                reason=reason,
                who=f"{_user()}@{socket.gethostname()}",
                time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
            _append(base / _RELEASES, json.dumps(dataclasses.asdict(changed)) + "\n")
        _write_models_config(base)
    return changed


def _user() -> str:
    """Return the name of who runs this; a container's user may have none, but has a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _append(path: Path, line: str) -> None:
    """Append a line and force it to disk, over what a crash left of a line."""
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
