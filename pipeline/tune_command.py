"""The command of `deepfm` that searches for hyperparameters."""

import enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from components.gibbs.config import GibbsConfig
from components.ratings_example_gen.config import SplitMethod
from pipeline import beam_options
from pipeline.beam_profiles import BeamProfile
from pipeline.config import PRESETS
from pipeline.dataset.errors import DatasetError
from pipeline.job import ALREADY_RUNNING
from pipeline.run_options import RunRequest, Runs, Split, find_dataset
from pipeline.terminal import console, say, stop, wide
from pipeline.tuning_config import TuningConfig

app = typer.Typer()

SampledName = enum.StrEnum(  # type: ignore[misc]
    "SampledName", [name for name, preset in PRESETS.items() if isinstance(preset.train, GibbsConfig)]
)


@app.command()
def tune(
    data: Annotated[
        str | None,
        typer.Option(help="Folder or zip in MovieLens 1M's format; downloaded or generated if not given."),
    ] = None,
    split: Split = SplitMethod.RANDOM,
    trials: Annotated[
        int, typer.Option(min=1, help="Models that are fitted; the first is the preset's.")
    ] = 20,
    preset: Annotated[SampledName, typer.Option(help="Model and sampling to search around.")] = SampledName[
        "best"
    ],
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, help="Of the search and of each trial: the same, the same trials."
        ),
    ] = 0,
    runs: Runs = Path("runs"),
    beam_profile: beam_options.Profile = BeamProfile.LOCAL,
    beam_option: beam_options.Options = None,
) -> None:
    """Search for better hyperparameters around a preset that is sampled.

    Each trial is fitted to the training rows and asked for the validation rows; test rows choose nothing.
    """
    from pipeline import local  # noqa: PLC0415

    beam = beam_options.beam_config(beam_profile, beam_option)
    beam_options.require_workers(beam)
    try:
        dataset = find_dataset(data, runs)
        if dataset.last_day:
            raise stop(f"{dataset.origin} is a folder of days: give the ratings as one folder or zip")
        request = RunRequest(dataset=dataset, runs=runs, preset=preset, seed=seed, split=split, beam=beam)
        config = TuningConfig.of(request.config, trials)
    except (DatasetError, OSError, ValueError) as error:
        raise stop(str(error)) from error
    say(f"{request.text}, {trials} trials")
    try:
        with local.locked(config.root) as lock:
            outcome = local.run(config, request.facts, console, lock, brief=True)
    except local.AlreadyRunningError as error:
        raise stop(str(error), ALREADY_RUNNING) from error
    except OSError as error:
        raise stop(f"cannot write to {config.root}: {error}") from error
    if outcome.status == 0 and outcome.summary:
        _show(outcome.summary)
    raise typer.Exit(outcome.status)


def _show(summary: dict[str, Any]) -> None:
    """Print the trials, the best first."""
    trials = summary["trials"]
    names = list(trials[0]["hyperparameters"])
    table = Table("trial", "validation RMSE", *names, box=None)
    for trial in trials:
        values = (trial["hyperparameters"][name] for name in names)
        table.add_row(
            str(trial["number"]),
            f"{trial['validation_rmse']:.4f}",
            *(f"{value:g}" if isinstance(value, float) else str(value) for value in values),
        )
    wide.print(table)
    best = ", ".join(f"{name}={value!r}" for name, value in trials[0]["hyperparameters"].items())
    say(f"\nbest    {best}")
    say(f"left in {summary['best_hyperparameters']}")
