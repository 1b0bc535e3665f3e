"""The `deepfm` command. Each command imports what it needs, so that all of them start at once."""

import contextlib
import dataclasses
import enum
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.ratings_example_gen.config import SplitMethod
from pipeline.config import PRESETS, PipelineConfig
from pipeline.dataset.errors import DatasetError
from pipeline.job import SUMMARY_FILE
from schema import features
from serving import versions

if TYPE_CHECKING:
    from serving.client import Client

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A TFX pipeline for a DeepFM recommender, and the model that it serves.",
)
console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)

_CACHE = Path(".cache", "data")
_DEFAULT_PORT = 8500

Preset = enum.StrEnum("Preset", list(PRESETS))  # type: ignore[misc]

ServingDir = Annotated[
    Path | None,
    typer.Option(
        "--model-base-path", help="Folder of the model's versions; that of the last run if not given."
    ),
]
Target = Annotated[str, typer.Option("--target", help="host:port of the server.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]


def _say(message: str) -> None:
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def _stop(message: str) -> typer.Exit:
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(1)


@contextlib.contextmanager
def _quiet_imports() -> Iterator[None]:
    """Keep off the terminal what TensorFlow writes while it is imported, unless that fails.

    No log level stops all of it (https://github.com/tensorflow/tensorflow/issues/100442).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(terminal, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


@app.command()
def run(
    data: Annotated[
        str | None,
        typer.Option(help="Folder or zip in MovieLens 1M's format; downloaded or generated if not given."),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Model and training.")] = Preset["default"],
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of weights, order of rows and dropout.")
    ] = 0,
    split: Annotated[SplitMethod, typer.Option(help="How rows are divided.")] = SplitMethod.RANDOM,
    runs: Runs = Path("runs"),
) -> None:
    """Run the pipeline on this machine: from ratings to a served model."""
    from pipeline import local  # noqa: PLC0415
    from pipeline.dataset.resolve import resolve  # noqa: PLC0415

    try:
        dataset = resolve(
            data,
            cache_dir=_CACHE,
            work_dir=runs / ".unpacked",
            notify=_say,
        )
    except (DatasetError, OSError) as error:
        raise _stop(str(error)) from error
    config = PipelineConfig(
        dataset=dataset.name,
        data_folder=dataset.folder,
        root=(runs / dataset.name).absolute(),
        generated=dataset.generated,
        noise_floor_rmse=dataset.noise_floor_rmse,
    )
    config = PRESETS[preset.value](config)
    config = dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, seed=seed),
        example_gen=dataclasses.replace(config.example_gen, split=split),
    )
    facts = {
        "dataset": {
            "name": config.dataset,
            "generated": config.generated,
            "origin": dataset.origin,
            "noise_floor_rmse": config.noise_floor_rmse,
        },
        "preset": preset.value,
        "seed": seed,
        "split": split.value,
        "serving_dir": str(config.serving),
    }
    kind = "generated data" if config.generated else "real data"
    _say(f"{config.dataset} ({kind}), preset {preset.value}, seed {seed}, {split.value} split")
    raise typer.Exit(local.run(config, facts, console).status)


@app.command("generate-data")
def generate_data(
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    ratings: Annotated[int, typer.Option(help="Number of ratings.")] = 1_000_209,
    users: Annotated[int, typer.Option(help="Number of users.")] = 6_040,
    movies: Annotated[int, typer.Option(help="Number of movies.")] = 3_883,
    seed: Annotated[int, typer.Option(help="Same seed, same files.")] = 7,
) -> None:
    """Write ratings in MovieLens 1M's format whose noise floor is known."""
    from pipeline.dataset.generated import generate  # noqa: PLC0415

    try:
        marker = generate(output, ratings=ratings, users=users, movies=movies, seed=seed)
    except (DatasetError, ValueError, OSError) as error:
        raise _stop(str(error)) from error
    _say(f"{marker.name}: {ratings:,} ratings in {output}")


@app.command()
def status(runs: Runs = Path("runs")) -> None:
    """Show the last run of each dataset."""
    table = Table("dataset", "state", "test RMSE", "blessed", "version", "seconds", box=None)
    for path in sorted(runs.glob(f"*/latest/{SUMMARY_FILE}")):
        summary = _read_summary(path)
        if summary is None:
            table.add_row(escape(path.parent.parent.name), f"{SUMMARY_FILE} is damaged")
            continue
        metrics = summary.get("metrics", {}).get("test", {}).get("overall", {})
        table.add_row(
            escape(path.parent.parent.name),
            summary["state"],
            f"{metrics['rmse']:.4f}" if metrics else "-",
            "yes" if summary["blessed"] else "no",
            str(summary["pushed_version"] or "-"),
            f"{summary['seconds']:.0f}",
        )
    if not table.row_count:
        raise _stop(f"no run in {runs}; start one with `deepfm run`")
    console.print(table)


@app.command("plot-model")
def plot_model(
    output: Annotated[Path, typer.Argument(help="File to write, .png or .svg.")] = Path("model.png"),
    architecture: Annotated[str, typer.Option(help="first_order, second_order, deep, deepfm, …")] = "deepfm",
    preset: Annotated[Preset, typer.Option(help="Sizes of the model.")] = Preset["default"],
) -> None:
    """Draw a model: its layers with names and shapes."""
    with _quiet_imports():
        from components.deepfm.drawing import example_model  # noqa: PLC0415
        from components.deepfm.plot import plot_model as plot  # noqa: PLC0415

    config = PRESETS[preset.value](
        PipelineConfig(dataset="any", data_folder=Path(), root=Path(), generated=False)
    )
    try:
        plot(example_model(config.model, architecture, config.transform.max_genres), output)
    except (ValueError, OSError) as error:
        raise _stop(str(error)) from error
    _say(f"{architecture} drawn in {output}")


def _read_summary(path: Path) -> dict[str, Any] | None:
    """Return what a run says of itself; None if the file is damaged."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    needed = {"state", "blessed", "pushed_version", "seconds", "serving_dir"}
    return summary if isinstance(summary, dict) and needed <= summary.keys() else None


def _serving_dir(given: Path | None, runs: Path = Path("runs")) -> Path:
    """Return the given folder, or that of the last run whose dataset has a served model."""
    if given is not None:
        return given
    summaries = sorted(runs.glob(f"*/latest/{SUMMARY_FILE}"), key=lambda path: path.stat().st_mtime)
    for path in reversed(summaries):
        summary = _read_summary(path)
        if summary and versions.latest(summary["serving_dir"]) is not None:
            return Path(summary["serving_dir"])
    raise _stop(f"no served model in {runs}; start a run with `deepfm run` or give --model-base-path")


@app.command()
def serve(
    model_base_path: ServingDir = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = _DEFAULT_PORT,
) -> None:
    """Answer gRPC queries as TensorFlow Serving does, on this machine."""
    with _quiet_imports():
        from serving import server  # noqa: PLC0415
        from serving.errors import ServingError  # noqa: PLC0415
        from serving.wire import HOST  # noqa: PLC0415

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    config = server.ServerConfig(model_base_path=_serving_dir(model_base_path), port=port)

    def ready(started: server.Server) -> None:
        for name, manager in started.core.models.items():
            version = manager.version
            served = (
                f"version {version}"
                if version is not None
                else f"no version yet, until {manager.base_path} has one,"
            )
            _say(f"serving {name} {served} at {HOST}:{started.port}")

    try:
        server.serve(config, ready)
    except ServingError as error:
        raise _stop(str(error)) from error


def _client(target: str, model_base_path: Path | None) -> "Client":
    with _quiet_imports():
        from serving import catalogue  # noqa: PLC0415
        from serving.client import Client  # noqa: PLC0415

    folder = _serving_dir(model_base_path)
    version = versions.latest(folder)
    if version is None:
        raise _stop(f"{folder} holds no version; start a run with `deepfm run`")
    try:
        tables = catalogue.Catalogue.load(folder / str(version) / catalogue.FOLDER)
    except (OSError, ValueError) as error:
        raise _stop(f"version {version} in {folder} has no catalogue to read: {error}") from error
    return Client(target, tables)


@app.command()
def predict(
    uid: Annotated[int, typer.Option(help="User.")],
    mid: Annotated[list[int], typer.Option(help="Movie; may be given several times.")],
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    model_base_path: ServingDir = None,
) -> None:
    """Ask what a user would rate movies."""
    client = _client(target, model_base_path)
    from serving.errors import ServingError  # noqa: PLC0415

    try:
        with client:
            ratings = client.predict([(uid, m) for m in mid])
            titles = client.catalogue.titles(mid)
    except ServingError as error:
        raise _stop(str(error)) from error
    _print_movies(zip(mid, titles, ratings, strict=True))


@app.command()
def rank(
    uid: Annotated[int, typer.Option(help="User.")],
    top: Annotated[int, typer.Option(min=1, help="How many movies.")] = 10,
    target: Target = f"127.0.0.1:{_DEFAULT_PORT}",
    model_base_path: ServingDir = None,
) -> None:
    """Ask for the movies that a user would rate highest."""
    client = _client(target, model_base_path)
    from serving.errors import ServingError  # noqa: PLC0415

    try:
        with client:
            ranked = client.rank(uid, top=top)
    except ServingError as error:
        raise _stop(str(error)) from error
    _print_movies((movie.mid, movie.title, movie.rating) for movie in ranked)


def _print_movies(rows: Iterable[tuple[int, str, float]]) -> None:
    table = Table(features.MID.name, features.TITLE.name, features.RATING.name, box=None)
    for mid, title, rating in rows:
        table.add_row(str(mid), escape(title), f"{rating:.2f}")
    console.print(table)


def main() -> None:
    """Run the command line."""
    app()
