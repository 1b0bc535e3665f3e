"""The command of `deepfm` that asks a version without a server, for files of any length."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status

from components import progress
from pipeline import beam_options
from pipeline.beam_errors import own_words
from pipeline.beam_profiles import BeamProfile
from pipeline.serving_options import (
    NOTHING_LEFT_OUT,
    IncludeRated,
    Moment,
    ServingDir,
    seconds,
    serving_dir,
)
from pipeline.terminal import console, say, stop
from serving import versions
from serving.errors import ServingError
from serving.quiet_imports import quiet_imports

app = typer.Typer()


@app.command()
def batch(
    output: Annotated[Path, typer.Option(help="Folder of Parquet to write; must not exist.")],
    source: Annotated[
        Path | None,
        typer.Option("--input", help="Parquet file, folder or pattern with columns uid and mid, or uid."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Rank movies for each uid, and keep so many.")
    ] = None,
    include_rated: IncludeRated = False,
    time: Moment = None,
    version: Annotated[int | None, typer.Option(help="Which version; the served one if not given.")] = None,
    model_base_path: ServingDir = None,
    beam_profile: beam_options.Profile = BeamProfile.LOCAL,
    beam_option: beam_options.Options = None,
) -> None:
    """Rate a file of pairs, or with --top rank movies for a file of users, or for all users.

    Ranked are the movies that a user has not rated. Pairs may have moments of their own, in a column
    timestamp as seconds since 1970. Rows whose ids or moment are missing, negative or no integers go to
    OUTPUT/_rejected with the reason; if all do, the command fails.
    """
    if source is None and top is None:
        raise stop("give --input, a Parquet file of pairs, or --top to rank movies for all users")
    if include_rated and top is None:
        raise stop("--include-rated goes with --top; pairs are rated whether or not the user has rated them")
    beam = beam_options.beam_config(beam_profile, beam_option)
    beam_options.require_workers(beam)
    folder = serving_dir(model_base_path)
    moment = seconds(time)  # one for all, however long it takes
    # Beam and TensorFlow log what no caller can act on; what fails is raised.
    logging.getLogger().addHandler(logging.NullHandler())
    with console.status("starting Beam") as status:
        with quiet_imports():
            from pipeline.batch.files import REJECTED_FOLDER, InputError  # noqa: PLC0415
            from pipeline.batch.questions import RankMovies, RatePairs  # noqa: PLC0415
            from pipeline.batch.run import run  # noqa: PLC0415
            from serving import catalogue, rated, release  # noqa: PLC0415

        number = release.served(folder) if version is None else version
        if number is None:
            raise stop(f"{folder} holds no version; start a run with `deepfm run`")
        progress.LOGGER.addHandler(_ShowProgress(status))
        try:
            version_folder = versions.require(folder, number)
            outcome = run(
                RatePairs(moment) if top is None else RankMovies(top, include_rated, moment),
                version_folder / catalogue.USERS_FILE if source is None else source,
                output,
                version_folder,
                beam.args,
            )
        except (InputError, ServingError, OSError, ValueError) as error:
            raise stop(own_words(error)) from error
    reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in outcome.rejected.most_common())
    say(f"version {number} answered from {folder}")
    say(
        f"{outcome.rows_read:,} rows read, {outcome.rejected.total():,} rejected"
        + f" ({reasons})" * bool(reasons)
        + f", {outcome.repeated:,} repeated a user" * bool(outcome.repeated)
    )
    say(f"{outcome.rows_written:,} rows in {output}")
    say(f"{outcome.seconds:.1f} s, {outcome.rows_written / outcome.seconds:,.0f} rows a second")
    if top is not None and not include_rated and not rated.Rated(version_folder / catalogue.FOLDER).parts:
        say(NOTHING_LEFT_OUT)
    if outcome.rows_read and outcome.rejected.total() == outcome.rows_read:
        raise stop(f"every row was rejected; {output / REJECTED_FOLDER} has all of them, with the reason")


class _ShowProgress(logging.Handler):
    """Shows progress in a moving line."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        """Show how far it is."""
        fraction, text = record.__dict__["progress"]
        self._status.update(f"{fraction:.0%} {text}")
