"""What the commands on a served model have in common."""

import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.summaries import last_serving_dir
from pipeline.terminal import stop
from schema import features

_RUNS = Path("runs")

NOTHING_LEFT_OUT: Final = "this version does not know who has rated what: nothing is left out"

ServingDir = Annotated[
    Path | None,
    typer.Option(
        "--model_base_path", help="Folder of the model's versions; that of the last run if not given."
    ),
]
IncludeRated = Annotated[bool, typer.Option("--include-rated", help="Show also what the user has rated.")]
Moment = Annotated[
    datetime.datetime | None,
    typer.Option("--time", help="The moment in UTC that is asked about; now if not given."),
]


def seconds(moment: datetime.datetime | None) -> int:
    """Return a moment of the option, or now, in seconds since 1970-01-01 UTC.

    Raises:
        typer.Exit: No rating can be of that moment.
    """
    asked = datetime.datetime.now(datetime.UTC) if moment is None else moment.replace(tzinfo=datetime.UTC)
    found = int(asked.timestamp())
    if not 0 <= found <= features.MAX_TIMESTAMP:
        raise stop(f"--time must be from 1970 to 2099, got {moment}")
    return found


def serving_dir(given: Path | None) -> Path:
    """Return the given folder, or that of the last run.

    Raises:
        typer.Exit: There is none.
    """
    folder = given or last_serving_dir(_RUNS)
    if folder is None:
        raise stop(f"no served model in {_RUNS}; start a run with `deepfm run` or give --model_base_path")
    return folder
