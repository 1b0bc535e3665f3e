"""The commands of `deepfm` on what is served: ask it, and say which version it is."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.summaries import last_serving_dir
from pipeline.terminal import console, say, stop
from schema import features
from serving import versions
from serving.errors import ServerUnavailable, ServingError

if TYPE_CHECKING:
    from serving.client import Client
    from serving.control import VersionStatus

app = typer.Typer()

_DEFAULT_PORT = 8500
_RUNS = Path("runs")

ServingDir = Annotated[
    Path | None,
    typer.Option(
        "--model_base_path", help="Folder of the model's versions; that of the last run if not given."
    ),
]
Target = Annotated[str, typer.Option("--target", help="host:port of the server.")]
Version = Annotated[int, typer.Argument(help="Which version.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with who and when.")]


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def serve(context: typer.Context) -> None:
    """Serve the versions, by TensorFlow Serving where there is one; takes its flags, `--name=value`.

    Without --model_base_path or --model_config_file it serves the last run's dataset. The server starts with
    what is released there, and a follower beside it brings it each later release and rollback.
    """
    from serving import launch, release  # noqa: PLC0415

    flags = {"port": str(_DEFAULT_PORT)} | _flags(context.args)
    folder = Path(flags.pop("model_base_path", "")) if "model_base_path" in flags else None
    follower: tuple[str, ...] = ()
    if "model_config_file" not in flags:
        folder = _serving_dir(folder).absolute()
        name = flags.pop("model_name", versions.MODEL_NAME)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags["model_config_file"] = str(release.write_models_config(folder, name))
        except (OSError, ValueError) as error:
            raise stop(str(error)) from error
        flags["allow_version_labels_for_unavailable_models"] = "true"
        if flags["port"] == "0":
            flags["port"] = str(launch.free_port())
        follower = launch.follower(flags, folder, name)
    chosen = launch.choose(flags, Path(flags["model_config_file"]).absolute().parent)
    say(chosen.what)
    sys.stdout.flush()
    if follower:
        # It ends with the process that started it, which is the server from here on.
        subprocess.Popen(follower)
    os.execv(chosen.command[0], chosen.command)


def _flags(arguments: list[str]) -> dict[str, str]:
    """Read `--name=value` and `--name value`."""
    flags = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if not name.startswith("--"):
            raise stop(f"a flag begins with --, got {argument!r}")
        flags[name.removeprefix("--")] = value if equals else next(rest, "true")
    return flags


@app.command()
def predict(
    uid: Annotated[int, typer.Option(help="User.")],
    mid: Annotated[list[int], typer.Option(help="Movie; may be given several times.")],
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    model_base_path: ServingDir = None,
) -> None:
    """Ask what a user would rate movies."""
    try:
        with _client(target, model_base_path) as client:
            ratings = client.predict([(uid, m) for m in mid])
            titles = client.catalogue.titles(mid)
    except ServingError as error:
        raise stop(str(error)) from error
    _print_movies(zip(mid, titles, ratings, strict=True))


@app.command()
def rank(
    uid: Annotated[int, typer.Option(help="User.")],
    top: Annotated[int, typer.Option(min=1, help="How many movies.")] = 10,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    model_base_path: ServingDir = None,
) -> None:
    """Ask for the movies that a user would rate highest."""
    try:
        with _client(target, model_base_path) as client:
            ranked = client.rank(uid, top=top)
    except ServingError as error:
        raise stop(str(error)) from error
    _print_movies((movie.mid, movie.title, movie.rating) for movie in ranked)


@app.command()
def models(model_base_path: ServingDir = None, target: Target = f"127.0.0.1:{_DEFAULT_PORT}") -> None:
    """List the versions: label, state on the server, metrics, size."""
    from serving import release  # noqa: PLC0415

    folder = _serving_dir(model_base_path)
    try:
        now = release.current(folder)
        labels = {release.STABLE: now.stable, release.CANARY: now.canary}
        states = _states(target)
        table = Table("version", "label", "state", "dataset", "test RMSE", "published", "MB", box=None)
        for version in versions.versions(folder):
            found = versions.describe(folder, version)
            table.add_row(
                str(version),
                ", ".join(label for label, labelled in labels.items() if labelled == version),
                states[version].state if version in states else "-",
                escape(str(found.manifest.get("dataset", "-"))),
                f"{found.manifest['test_rmse']:.4f}" if "test_rmse" in found.manifest else "-",
                f"{found.published:%Y-%m-%d %H:%M}",
                f"{found.bytes / 1e6:.1f}",
            )
    except (ServingError, ValueError) as error:
        raise stop(str(error)) from error
    console.print(table)
    if not states:
        say(f"no server at {target}: the states are not known")


@app.command()
def canary(
    version: Version,
    percent: Annotated[float, typer.Option(min=0, max=100, help="Share of the users; 0 ends it.")],
    reason: Reason = "",
    model_base_path: ServingDir = None,
) -> None:
    """Serve a version, under the label `canary`, to a share of the users."""
    from serving import release  # noqa: PLC0415

    folder = _serving_dir(model_base_path)
    try:
        release.canary(folder, version, percent, reason)
    except (ServingError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"version {version} is the canary of {percent:g}% of the users" if percent else "no canary")


@app.command()
def promote(version: Version, reason: Reason = "", model_base_path: ServingDir = None) -> None:
    """Make a version the stable one."""
    from serving import release  # noqa: PLC0415

    folder = _serving_dir(model_base_path)
    try:
        now = release.promote(folder, version, reason)
    except (ServingError, ValueError) as error:
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

    folder = _serving_dir(model_base_path)
    try:
        now = release.rollback(folder, reason, version)
    except (ServingError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"version {now.stable} is stable again, in place of {now.previous}")


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")],
    model_base_path: ServingDir = None,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
) -> None:
    """Remove old versions, never one that is released or that the server has loaded."""
    from serving import release  # noqa: PLC0415

    try:
        removed = release.prune(_serving_dir(model_base_path), keep, spare=[*_loaded(target)])
    except (ServingError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"removed {', '.join(map(str, removed))}" if removed else "nothing to remove")


def _loaded(target: str) -> Iterable[int]:
    """Return the versions that a server has loaded."""
    return (version for version, status in _states(target).items() if status.state != "END")


def _states(target: str) -> "dict[int, VersionStatus]":
    """Return what a server says about its versions; nothing where none answers."""
    from serving.control import ModelControl  # noqa: PLC0415

    with ModelControl(target) as control:
        try:
            return control.states(versions.MODEL_NAME)
        except ServerUnavailable:
            return {}


def _serving_dir(given: Path | None) -> Path:
    """Return the given folder, or that of the last run."""
    folder = given or last_serving_dir(_RUNS)
    if folder is None:
        raise stop(f"no served model in {_RUNS}; start a run with `deepfm run` or give --model_base_path")
    return folder


def _client(target: str, model_base_path: Path | None) -> "Client":
    from serving import catalogue, release  # noqa: PLC0415
    from serving.client import Client  # noqa: PLC0415

    folder = _serving_dir(model_base_path)
    version = release.served(folder)
    if version is None:
        raise stop(f"{folder} holds no version; start a run with `deepfm run`")
    try:
        tables = catalogue.Catalogue.load(folder / str(version) / catalogue.FOLDER)
    except (OSError, ValueError) as error:
        raise stop(f"version {version} in {folder} has no catalogue to read: {error}") from error
    return Client(target, tables)


def _print_movies(rows: Iterable[tuple[int, str, float]]) -> None:
    table = Table(features.MID.name, features.TITLE.name, features.RATING.name, box=None)
    for mid, title, rating in rows:
        table.add_row(str(mid), escape(title), f"{rating:.2f}")
    console.print(table)
