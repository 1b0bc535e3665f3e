"""The commands of `deepfm` on what is served: ask it, and say which version it is."""

import collections
import datetime
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from components.evaluator.properties import TEST_RMSE
from components.ratings_example_gen.properties import FIRST_RATING, LAST_RATING
from pipeline.serving_options import (
    NOTHING_LEFT_OUT,
    IncludeRated,
    Moment,
    ServingDir,
    seconds,
    serving_dir,
)
from pipeline.terminal import console, say, stop, wide
from schema import features
from serving import versions
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.client import Client, Router, TlsConfig
    from serving.control import VersionStatus

app = typer.Typer()

_DEFAULT_PORT = 8500
_TIMEOUT = 5.0  # seconds; a person waits

Target = Annotated[str, typer.Option("--target", help="host:port of the server.")]
TlsCa = Annotated[
    Path | None,
    typer.Option("--tls-ca", help="PEM file of who signed the server's certificate; makes it TLS."),
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", help="PEM file of the certificate to show the server.")
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="PEM file of the key of --tls-cert.")]
AskedVersion = Annotated[
    int | None,
    typer.Option("--version", help="Ask this version, not the stable one or the canary of the user's."),
]
AskedLabel = Annotated[str | None, typer.Option("--label", help="Ask the version of this label.")]
Version = Annotated[int, typer.Argument(help="Which version.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with who and when.")]


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def serve(context: typer.Context) -> None:
    """Serve the versions, by TensorFlow Serving where there is one; takes its flags, `--name=value`.

    Without --model_base_path or --model_config_file it serves the last run's dataset. The server starts with
    what is released there, and a follower beside it brings it each later release and rollback.
    `--log_requests=0.01` lets it log a hundredth of the requests, for DataGate, this time and each later one;
    0 ends that.
    """
    from serving import launch, release  # noqa: PLC0415

    if "--help" in context.args:
        command = launch.choose({}, Path.cwd()).command
        os.execv(command[0], (*command, "--help"))
    flags = {"port": str(_DEFAULT_PORT)} | _flags(context.args)
    if "model_base_path" in flags and "model_config_file" in flags:
        raise stop("give --model_base_path or --model_config_file, not both")
    follower: tuple[str, ...] = ()
    rate = flags.pop("log_requests", None)
    if rate is not None and "model_config_file" in flags:
        raise stop("--log_requests goes into the configuration file: give a logging_config there")
    try:
        flags["port"] = str(launch.free_port(int(flags["port"])))
        if "model_config_file" not in flags:
            given = flags.pop("model_base_path", None)
            folder = serving_dir(None if given is None else Path(given)).absolute()
            if flags.pop("model_name", folder.name) != folder.name:
                raise stop(f"the model's name is that of its folder, {folder.name!r}")
            folder.mkdir(parents=True, exist_ok=True)
            logs = float(rate) > 0 if rate is not None else release.request_logging(folder) is not None
            if logs and not (server := launch.choose({}, folder.parent)).stand_in:
                raise stop(
                    f"{server.what}, comes without a collector for logged requests: --log_requests=0 ends "
                    "the logging"
                )
            if rate is not None:
                release.log_requests(folder, float(rate))
            flags["model_config_file"] = str(release.write_models_config(folder))
            flags["allow_version_labels_for_unavailable_models"] = "true"
            follower = launch.follower(flags, folder)
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    chosen = launch.choose(flags, Path(flags["model_config_file"]).absolute().parent)
    say(chosen.what)
    sys.stdout.flush()
    if follower:
        # It ends with the process that started it, which is the server from here on.
        subprocess.Popen(follower)
    os.execv(chosen.command[0], chosen.command)


def _flags(arguments: list[str]) -> dict[str, str]:
    """Read `--name=value`, `--name value` and, for true, `--name` alone."""
    flags = {}
    rest = collections.deque(arguments)
    while rest:
        argument = rest.popleft()
        name, equals, value = argument.partition("=")
        if not name.startswith("--"):
            raise stop(f"a flag begins with --, got {argument!r}")
        if not equals:
            value = rest.popleft() if rest and not rest[0].startswith("--") else "true"
        flags[name.removeprefix("--")] = value
    return flags


@app.command()
def predict(
    uid: Annotated[int, typer.Option(help="User.")],
    mid: Annotated[list[int], typer.Option(help="Movie; may be given several times.")],
    time: Moment = None,
    version: AskedVersion = None,
    label: AskedLabel = None,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    model_base_path: ServingDir = None,
) -> None:
    """Ask what a user would rate movies."""
    tls = _tls(tls_ca, tls_cert, tls_key)
    try:
        with _client(uid, version, label, target, tls, model_base_path) as client:
            ratings = client.predict([(uid, m) for m in mid], seconds(time))
            titles = client.catalogue.titles(mid)
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    _print_movies(zip(mid, titles, ratings, strict=True), client.answered)


@app.command()
def rank(
    uid: Annotated[int, typer.Option(help="User.")],
    top: Annotated[int, typer.Option(min=1, help="How many movies.")] = 10,
    include_rated: IncludeRated = False,
    time: Moment = None,
    version: AskedVersion = None,
    label: AskedLabel = None,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    model_base_path: ServingDir = None,
) -> None:
    """Ask for the best movies for a user, of those that the user has not rated, with predicted ratings."""
    tls = _tls(tls_ca, tls_cert, tls_key)
    try:
        with _client(uid, version, label, target, tls, model_base_path) as client:
            ranked = client.rank(uid, top=top, include_rated=include_rated, timestamp=seconds(time))
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    _print_movies(((movie.mid, movie.title, movie.rating) for movie in ranked), client.answered)
    if not include_rated and not client.catalogue.knows_rated:
        say(NOTHING_LEFT_OUT)


@app.command()
def models(
    model_base_path: ServingDir = None,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    history: Annotated[bool, typer.Option("--history", help="List who released what, when and why.")] = False,
) -> None:
    """List the versions: label, state on the server, time of the ratings, metrics, blessing, size."""
    from serving import release  # noqa: PLC0415

    folder = serving_dir(model_base_path)
    if history:
        _print_releases(folder)
        return
    states, unknown = _states(folder.name, target, _tls(tls_ca, tls_cert, tls_key))
    table = Table(
        "version", "label", "state", "dataset", "ratings from", "to", "test RMSE", "blessed", "published",
        "MB", box=None,
    )  # fmt: skip
    try:
        now = release.holding(folder)
        labels = {release.STABLE: now.stable, f"{release.CANARY} {now.canary_percent:g}%": now.canary}
        for version in versions.versions(folder):
            found = versions.describe(folder, version)
            says = found.manifest
            table.add_row(
                str(version),
                ", ".join(label for label, labelled in labels.items() if labelled == version),
                states[version].state if version in states else "-",
                escape(str(says.get("dataset", "-"))),
                *(_date(says[key]) if key in says else "-" for key in (FIRST_RATING, LAST_RATING)),
                f"{says[TEST_RMSE]:.4f}" if TEST_RMSE in says else "-",
                "yes" if says.get(versions.BLESSED) else "-",
                f"{found.published:%Y-%m-%d %H:%M}",
                f"{found.bytes / 1e6:.1f}",
            )
    except (ServingError, ValueError) as error:
        raise stop(str(error)) from error
    wide.print(table)
    if unknown:
        say(f"the states are not known: {unknown}")


@app.command()
def canary(
    version: Version,
    percent: Annotated[float, typer.Option(min=0, max=100, help="Share of the users; 0 ends it.")],
    reason: Reason = "",
    model_base_path: ServingDir = None,
) -> None:
    """Serve a version, under the label `canary`, to a share of the users."""
    from serving import release  # noqa: PLC0415

    folder = serving_dir(model_base_path)
    try:
        release.canary(folder, version, percent, reason)
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"version {version} is the canary of {percent:g}% of the users" if percent else "no canary")


@app.command()
def promote(version: Version, reason: Reason = "", model_base_path: ServingDir = None) -> None:
    """Make a version the stable one."""
    from serving import release  # noqa: PLC0415

    folder = serving_dir(model_base_path)
    try:
        now = release.promote(folder, version, reason)
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"version {now.stable} is stable" + (f", before it {now.previous}" if now.previous else ""))


@app.command()
def rollback(
    version: Annotated[
        int | None, typer.Argument(help="Which version; the stable one before this one if not given.")
    ] = None,
    reason: Reason = "",
    model_base_path: ServingDir = None,
) -> None:
    """Make an earlier version the stable one again, at once."""
    from serving import release  # noqa: PLC0415

    folder = serving_dir(model_base_path)
    try:
        now = release.rollback(folder, reason, version)
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"version {now.stable} is stable again" + (f", before it {now.previous}" if now.previous else ""))


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")],
    offline: Annotated[bool, typer.Option("--offline", help="No server runs that could be asked.")] = False,
    model_base_path: ServingDir = None,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Remove old versions, never one that is released or that the server has loaded."""
    from serving import release  # noqa: PLC0415

    folder = serving_dir(model_base_path)
    states: dict[int, VersionStatus] = {}
    if not offline:
        states, unknown = _states(folder.name, target, _tls(tls_ca, tls_cert, tls_key))
        if unknown:
            raise stop(
                f"{unknown}; what it has loaded is not known: give --target, or --offline if none runs"
            )
    try:
        loaded = [version for version, status in states.items() if status.state != "END"]
        removed = release.prune(folder, keep, spare=loaded)
    except (ServingError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"removed {', '.join(map(str, removed))}" if removed else "nothing to remove")


def _tls(ca: Path | None, cert: Path | None, key: Path | None) -> "TlsConfig | None":
    from serving.client import TlsConfig  # noqa: PLC0415

    if ca is None and cert is None and key is None:
        return None
    try:
        return TlsConfig(root_certificates=ca, certificate_chain=cert, private_key=key)
    except ValueError as error:
        raise stop(str(error)) from error


def _states(model_name: str, target: str, tls: "TlsConfig | None") -> "tuple[dict[int, VersionStatus], str]":
    """Return what a server says about each version, and why that is not known, if so."""
    from serving.control import ModelControl  # noqa: PLC0415

    try:
        with ModelControl(target, credentials=None if tls is None else tls.credentials()) as control:
            return control.states(model_name), ""
    except (ServingError, OSError) as error:
        return {}, str(error)


def _client(
    uid: int,
    version: int | None,
    label: str | None,
    target: str,
    tls: "TlsConfig | None",
    model_base_path: Path | None,
) -> "Client":
    """Return a client that asks the version that is for the user, with that version's catalogue."""
    from serving.catalogue import FOLDER, Catalogue  # noqa: PLC0415
    from serving.client import Client  # noqa: PLC0415

    folder = serving_dir(model_base_path)
    number, router = _version(folder, uid, version, label)
    try:
        catalogue = Catalogue.load(folder / str(number) / FOLDER)
    except (OSError, ValueError) as error:
        raise stop(f"version {number} in {folder} has no catalogue to read: {error}") from error
    return Client(target, catalogue, folder.name, _TIMEOUT, tls=tls, router=router)


def _version(folder: Path, uid: int, version: int | None, label: str | None) -> "tuple[int, Router | None]":
    """Return the number of the version to ask, and what tells the server so."""
    from serving import release  # noqa: PLC0415
    from serving.client import CanaryRouter, OneVersion  # noqa: PLC0415

    if version is not None and label is not None:
        raise stop("give --version or --label, not both")
    if version is not None:
        versions.require(folder, version)
        return version, OneVersion(version)
    now = release.holding(folder)
    if label is not None and label not in now.labels:
        raise stop(f"no version has the label {label!r}; labels: {', '.join(now.labels) or 'none'}")
    chosen = label or CanaryRouter(now.canary_percent).version(uid)
    number = now.labels.get(chosen)
    if number is not None:
        return number, OneVersion(chosen)
    latest = versions.latest(folder)
    if latest is None:
        raise stop(f"{folder} holds no version; start a run with `deepfm run`")
    return latest, None


def _print_releases(folder: Path) -> None:
    from serving import release  # noqa: PLC0415

    table = Table("time", "who", "what", "stable", "canary", "reason", box=None)
    try:
        for one in release.releases(folder):
            canary = "-" if one.canary is None else f"{one.canary} to {one.canary_percent:g}%"
            table.add_row(one.time, one.who, one.action, str(one.stable), canary, escape(one.reason))
    except ValueError as error:
        raise stop(str(error)) from error
    wide.print(table)


def _date(seconds: int) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"


def _print_movies(rows: Iterable[tuple[int, str, float]], answered: set[int]) -> None:
    table = Table(features.MID.name, features.TITLE.name, features.RATING.name, box=None)
    for mid, title, rating in rows:
        table.add_row(str(mid), escape(title), f"{rating:.2f}")
    console.print(table)
    say(f"answered by version {', '.join(map(str, sorted(answered))) or 'none: there was nothing to ask'}")
