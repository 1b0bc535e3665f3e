"""What the commands that run the pipeline on this machine have in common: options, and what they ask for."""

import dataclasses
import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from components.ratings_example_gen.config import ExampleGenConfig, RunDays, SpanConfig, SplitMethod
from pipeline.beam_profiles import BeamConfig
from pipeline.config import PRESETS, PipelineConfig
from pipeline.terminal import say

if TYPE_CHECKING:
    from pipeline.dataset.resolve import Dataset

CACHE: Final = Path(".cache", "data")
"""Where downloaded and generated datasets are kept."""

PresetName = enum.StrEnum("PresetName", list(PRESETS))  # type: ignore[misc]

Preset = Annotated[
    PresetName,
    typer.Option(help="Model and training; gradient is for more ratings than one machine's memory can hold."),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Of the chain, weights, order of rows and dropout.")
]
Split = Annotated[SplitMethod, typer.Option(help="How rows are divided.")]
Cold = Annotated[bool, typer.Option("--cold", help="Train from nothing, not from the served model.")]
Window = Annotated[int, typer.Option(min=0, help="Days to train on, before the evaluation span; 0 for all.")]
EvaluationDays = Annotated[int, typer.Option(min=1, help="Days of the evaluation span.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Go on without days that are missing or late.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]


def with_options(
    config: PipelineConfig,
    *,
    preset: str,
    seed: int,
    split: SplitMethod,
    spans: SpanConfig | None,
    cold: bool = False,
) -> PipelineConfig:
    """Return a configuration with what a person chose of model, training and split.

    Raises:
        ValueError: The split and the spans do not go together.
    """
    config = PRESETS[preset](config)
    return dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, seed=seed, cold=cold),
        example_gen=ExampleGenConfig(split=split, spans=spans),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A run that a person asked for."""

    dataset: "Dataset"
    runs: Path  # folder of all runs
    preset: str  # of `PRESETS`
    seed: int  # of training
    split: SplitMethod = SplitMethod.RANDOM
    cold: bool = False
    days: RunDays | None = None  # of a folder of days
    accept_data: bool = False  # DataGate only warns of what is not like before
    beam: BeamConfig = dataclasses.field(default_factory=BeamConfig)

    @property
    def config(self) -> PipelineConfig:
        """The configuration of the run."""
        days = self.days
        spans = days and SpanConfig(evaluation_days=days.evaluation_days, allow_missing=days.allow_missing)
        return with_options(
            PipelineConfig(
                dataset=self.dataset.name,
                data_folder=self.dataset.folder,
                root=(self.runs / self.dataset.name).absolute(),
                run_date=days.run_date if days else "",
                window_days=days.window_days if days else 0,
                generated=self.dataset.generated,
                accept_data=self.accept_data,
                noise_floor_rmse=self.dataset.noise_floor_rmse,
                beam=self.beam,
            ),
            preset=self.preset,
            seed=self.seed,
            split=self.split,
            spans=spans,
            cold=self.cold,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The entries of summary.json that are known before the run."""
        return {
            "dataset": {
                "name": self.dataset.name,
                "generated": self.dataset.generated,
                "origin": self.dataset.origin,
                "noise_floor_rmse": self.dataset.noise_floor_rmse,
            },
            "preset": self.preset,
            "seed": self.seed,
            "split": self.split.value,
            "spans": self.days and dataclasses.asdict(self.days),
            "serving_dir": str(self.config.serving),
        }

    @property
    def text(self) -> str:
        """The request in a line."""
        kind = "generated data" if self.dataset.generated else "real data"
        division = (
            f"evaluation span {self.days.evaluation_start} to {self.days.run_date}"
            if self.days
            else f"{self.split.value} split"
        )
        return f"{self.dataset.name} ({kind}), preset {self.preset}, seed {self.seed}, {division}"


def find_dataset(data: str | None, runs: Path) -> "Dataset":
    """Find, unpack, download or generate the dataset, and say what takes time.

    Raises:
        DatasetError: The data cannot be used.
        OSError: A folder cannot be written.
    """
    from pipeline.dataset.resolve import resolve  # noqa: PLC0415

    return resolve(data, cache_dir=CACHE, work_dir=runs / ".unpacked", notify=say)
