"""Where Beam does the work of the nodes that run on it, and of batch inference.

`local` is this process. `portable` is any job service, such as Flink's or Spark's, and `dataflow` is Google
Cloud's: there workers in other processes and machines do the work, which import the project from an
environment of their own and read and write the artifacts' addresses.
"""

import dataclasses
import enum


class BeamProfile(enum.StrEnum):
    """The kinds of runners."""

    LOCAL = "local"
    PORTABLE = "portable"
    DATAFLOW = "dataflow"


# Workers import what is staged in any order, and tensorflow_data_validation 1.16.1 needs a module that only
# `tfx` provides, so that has to come first: https://github.com/tensorflow/tfx/blob/v1.21.0/tfx/__init__.py
_IMPORT_FIRST = "--beam_plugin=tfx"

_ARGS = {
    # Beam's own default would look for the Prism runner, on the network. The image has no use here, but
    # without one TFX makes a package of itself for workers, for seconds at each node, and leaves it in /tmp.
    BeamProfile.LOCAL: ("--runner=FnApiRunner", "--sdk_container_image=none"),
    BeamProfile.PORTABLE: ("--runner=PortableRunner", _IMPORT_FIRST),
    BeamProfile.DATAFLOW: ("--runner=DataflowRunner", "--experiments=use_runner_v2", _IMPORT_FIRST),
}
_NEEDED: dict[BeamProfile, tuple[str, ...]] = {
    BeamProfile.LOCAL: (),
    BeamProfile.PORTABLE: ("job_endpoint",),
    BeamProfile.DATAFLOW: ("project", "region", "temp_location", "sdk_container_image"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """A runner, and what it is told."""

    profile: BeamProfile = BeamProfile.LOCAL
    options: tuple[str, ...] = ()  # further ones of Beam, as --job_endpoint=localhost:8099

    def __post_init__(self) -> None:
        for option in self.options:
            if not option.startswith("--"):
                raise ValueError(f"`options` must be like --name=value, got {option!r}")
        given = {option.removeprefix("--").split("=")[0] for option in self.options}
        if "runner" in given:
            raise ValueError(f"`options` must not name a runner: the profile {self.profile} does")
        missing = [f"--{name}" for name in _NEEDED[self.profile] if name not in given]
        if missing:
            raise ValueError(f"the profile {self.profile} needs {', '.join(missing)} among the Beam options")

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments of a Beam pipeline."""
        return (*_ARGS[self.profile], *self.options)

    @property
    def job_endpoint(self) -> str:
        """The host:port of the job service; "" where there is none."""
        found = [o.partition("=")[2] for o in self.options if o.startswith("--job_endpoint=")]
        return found[-1] if found else ""
