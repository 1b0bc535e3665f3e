"""Options of the commands that let Beam work."""

from typing import Annotated

import grpc
import typer

from pipeline.beam_profiles import BeamConfig, BeamProfile
from pipeline.terminal import stop

Profile = Annotated[BeamProfile, typer.Option("--beam", help="Where Beam does its work.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--beam-option", help="One of Beam's own, as --job_endpoint=localhost:8099; repeatable."),
]


_ANSWER_SECONDS = 10.0


def beam_config(profile: BeamProfile, options: list[str] | None) -> BeamConfig:
    """Return the configuration that the options ask for; ends the command where they make none."""
    try:
        return BeamConfig(profile=profile, options=tuple(options or ()))
    except ValueError as error:
        raise stop(str(error)) from error


def require_workers(beam: BeamConfig) -> None:
    """End the command if workers cannot do its work, which is in the folders of this machine.

    Where no job service answers Beam would wait for minutes, and not say for what.
    """
    if beam.profile is BeamProfile.DATAFLOW:
        raise stop(
            "Dataflow's workers see no folder of this machine: --beam dataflow is for `deepfm compile`, with "
            "gs:// addresses"
        )
    if beam.profile is not BeamProfile.PORTABLE:
        return
    with grpc.insecure_channel(beam.job_endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWER_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise stop(f"no Beam job service answers at {beam.job_endpoint}; start it first") from error
