"""The `deepfm` command. Each command imports what it needs, so that all of them start at once."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from components.ratings_example_gen.config import RunDays, SpanConfig, SplitMethod
from pipeline import (
    batch_command,
    beam_options,
    kubeflow_commands,
    retrain_command,
    serving_commands,
    tune_command,
)
from pipeline.beam_profiles import BeamProfile
from pipeline.config import PRESETS, KubeflowConfig, PipelineConfig
from pipeline.dataset.errors import DatasetError
from pipeline.job import ALREADY_RUNNING, SUMMARY_FILE
from pipeline.run_options import (
    AllowMissing,
    Cold,
    EvaluationDays,
    Preset,
    PresetName,
    RunRequest,
    Runs,
    Seed,
    Split,
    Window,
    find_dataset,
    with_options,
)
from pipeline.summaries import last_summaries
from pipeline.terminal import console, say, stop
from serving.quiet_imports import quiet_imports

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A TFX pipeline for a DeepFM recommender, and the model that it serves.",
)
app.add_typer(serving_commands.app)
app.add_typer(batch_command.app)
app.add_typer(retrain_command.app)
app.add_typer(tune_command.app)
app.add_typer(kubeflow_commands.app)


@app.command()
def run(
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder or zip in MovieLens 1M's format, or a folder of days; "
            "downloaded or generated if not given."
        ),
    ] = None,
    preset: Preset = PresetName["default"],
    seed: Seed = 0,
    split: Split = SplitMethod.RANDOM,
    cold: Cold = False,
    date: Annotated[
        str | None, typer.Option(help="Of a folder of days: last day of the evaluation span, as 2000-12-31.")
    ] = None,
    window: Window = 0,
    evaluation_days: EvaluationDays = SpanConfig.evaluation_days,
    allow_missing: AllowMissing = False,
    accept_data: Annotated[
        bool,
        typer.Option("--accept-data", help="Let data pass that is not like before: DataGate only warns."),
    ] = False,
    runs: Runs = Path("runs"),
    beam_profile: beam_options.Profile = BeamProfile.LOCAL,
    beam_option: beam_options.Options = None,
) -> None:
    """Run the pipeline on this machine: from ratings to a served model."""
    from pipeline import local  # noqa: PLC0415

    beam = beam_options.beam_config(beam_profile, beam_option)
    beam_options.require_workers(beam)
    try:
        dataset = find_dataset(data, runs)
    except (DatasetError, OSError) as error:
        raise stop(str(error)) from error
    given = {"--date": date, "--window": window, "--allow-missing": allow_missing}
    unfit = [name for name, value in given.items() if value]
    if unfit and not dataset.last_day:
        raise stop(
            f"{dataset.origin} is no folder of days: leave {unfit[0]} out, or make one: `deepfm split-spans`"
        )
    if dataset.last_day and not date:
        raise stop(f"{dataset.origin} is a folder of days, the last is {dataset.last_day}: give --date")
    try:
        days = (
            RunDays(
                run_date=date,
                window_days=window,
                evaluation_days=evaluation_days,
                allow_missing=allow_missing,
            )
            if date
            else None
        )
        request = RunRequest(
            dataset=dataset,
            runs=runs,
            preset=preset,
            seed=seed,
            split=split,
            cold=cold,
            days=days,
            accept_data=accept_data,
            beam=beam,
        )
        config = request.config
    except ValueError as error:
        raise stop(str(error)) from error
    say(request.text)
    try:
        with local.locked(config.root) as lock:
            outcome = local.run(config, request.facts, console, lock)
    except local.AlreadyRunningError as error:
        raise stop(str(error), ALREADY_RUNNING) from error
    except OSError as error:
        raise stop(f"cannot write to {config.root}: {error}") from error
    raise typer.Exit(outcome.status)


@app.command("compile")
def compile_package(
    output: Annotated[Path, typer.Argument(help="File to write, .yaml.")],
    image: Annotated[str, typer.Option(help="Container image, made from the Dockerfile.")],
    dataset: Annotated[str, typer.Option(help="Name of the dataset, part of the pipeline's.")],
    data: Annotated[
        str, typer.Option(help="Folder of the ratings, as containers see it, or its s3:// or gs:// address.")
    ],
    root: Annotated[Path, typer.Option(help="Folder that holds serving/deepfm, as containers see it.")],
    volume: Annotated[
        list[str] | None, typer.Option(help="CLAIM:PATH, a volume claim and where to mount it; repeatable.")
    ] = None,
    pipeline_root: Annotated[
        str,
        typer.Option(help="Address of the artifacts: minio://, s3:// or gs://; the back end's if not given."),
    ] = "",
    preset: Preset = PresetName["default"],
    seed: Seed = 0,
    split: Split = SplitMethod.RANDOM,
    spans: Annotated[
        bool, typer.Option("--spans", help="The data are a folder of days: each run needs a date.")
    ] = False,
    window: Annotated[
        int, typer.Option(min=0, help="Of --spans: days to train on, for runs that do not say; 0 for all.")
    ] = 0,
    evaluation_days: Annotated[
        int, typer.Option(min=1, help="Of --spans: days of the evaluation span.")
    ] = SpanConfig.evaluation_days,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Of --spans: go on without days that are missing or late.")
    ] = False,
    beam_profile: beam_options.Profile = BeamProfile.LOCAL,
    beam_option: beam_options.Options = None,
) -> None:
    """Write the package of the pipeline for Kubeflow Pipelines."""
    with quiet_imports():
        from pipeline.kubeflow import package  # noqa: PLC0415

    if not spans and (window or allow_missing):
        raise stop(f"{'--window' if window else '--allow-missing'} is for a folder of days: add --spans")
    beam = beam_options.beam_config(beam_profile, beam_option)
    try:
        config = PipelineConfig(
            dataset=dataset, data_folder=data, root=root, window_days=window, generated=False, beam=beam
        )
        days = SpanConfig(evaluation_days=evaluation_days, allow_missing=allow_missing) if spans else None
        config = with_options(config, preset=preset, seed=seed, split=split, spans=days)
        volumes = {claim: path for claim, _, path in (text.partition(":") for text in volume or [])}
        kubeflow = KubeflowConfig(image=image, volumes=volumes, pipeline_root=pipeline_root)
        package.write_package(output, package.compile_package(config, kubeflow))
    except (ValueError, OSError) as error:
        raise stop(str(error)) from error
    say(f"pipeline {config.name} in {output}")
    if data.startswith("s3://") or pipeline_root.startswith("s3://"):
        say("the cluster needs the key of its s3:// addresses: `deepfm manifests --endpoint HOST`")


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
        raise stop(str(error)) from error
    say(f"{marker.name}: {ratings:,} ratings in {output}")


@app.command("split-spans")
def split_spans(
    data: Annotated[str, typer.Argument(help="Folder or zip in MovieLens 1M's format.")],
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    runs: Runs = Path("runs"),
) -> None:
    """Write ratings as a folder of days, which `deepfm run --date` takes."""
    from pipeline.dataset.days import split_by_day  # noqa: PLC0415

    try:
        dataset = find_dataset(data, runs)
        if dataset.last_day:
            raise stop(f"{dataset.origin} is a folder of days already")
        with console.status("splitting") as shown:
            days = split_by_day(
                dataset.folder, output, report=lambda share: shown.update(f"{share:.0%} of the ratings")
            )
    except (DatasetError, OSError) as error:
        raise stop(str(error)) from error
    say(f"{days.lines:,} ratings in {output}: {days.count:,} days from {days.first} to {days.last}")
    if days.quiet:
        say(f"{days.quiet:,} of them have no ratings: an empty file")
    if days.without_time:
        say(f"{days.without_time:,} lines without a usable time went with the line before them")


@app.command()
def status(runs: Runs = Path("runs")) -> None:
    """Show the last run of each dataset."""
    table = Table("dataset", "state", "test RMSE", "blessed", "version", "seconds", box=None)
    for dataset, summary in last_summaries(runs).items():
        if summary is None:
            table.add_row(escape(dataset), f"{SUMMARY_FILE} is damaged")
            continue
        metrics = summary.get("metrics", {}).get("test", {}).get("overall", {})
        table.add_row(
            escape(dataset),
            summary["state"],
            f"{metrics['rmse']:.4f}" if metrics else "-",
            "yes" if summary["blessed"] else "no",
            str(summary["pushed_version"] or "-"),
            f"{summary['seconds']:.0f}",
        )
    if not table.row_count:
        raise stop(f"no run in {runs}; start one with `deepfm run`")
    console.print(table)


@app.command("plot-model")
def plot_model(
    output: Annotated[Path, typer.Argument(help="File to write, .png or .svg.")] = Path("model.png"),
    architecture: Annotated[
        str | None,
        typer.Option(help="first_order, second_order, deep, deepfm, …; the preset's if not given."),
    ] = None,
    preset: Preset = PresetName["default"],
) -> None:
    """Draw a model: its layers with names and shapes."""
    with quiet_imports():
        from components.deepfm.drawing import example_model  # noqa: PLC0415
        from components.deepfm.plot import plot_model as plot  # noqa: PLC0415

    chosen = PRESETS[preset.value]
    architecture = architecture or chosen.model.architecture
    try:
        plot(example_model(chosen.model, architecture, chosen.transform.max_genres), output)
    except (ValueError, OSError) as error:
        raise stop(str(error)) from error
    say(f"{architecture} drawn in {output}")


def main() -> None:
    """Run the command line."""
    app()
