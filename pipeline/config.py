"""What a run is told: one frozen configuration, and the presets."""

import dataclasses
from pathlib import Path

from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.ratings_example_gen.config import ExampleGenConfig
from components.serving_validator.config import ServingValidatorConfig
from components.trainer.config import TrainConfig
from components.transform.config import TransformConfig
from schema import features
from serving.versions import MODEL_NAME

LOCAL_BEAM_ARGS = ("--runner=FnApiRunner",)  # the default would look for the Prism runner, on the network


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Everything that the graph depends on."""

    dataset: str  # name; one component of every path
    data_folder: Path  # holds ratings.dat, movies.dat and users.dat, or folders of days
    root: Path  # everything that runs on this dataset leave behind
    generated: bool  # the ratings were drawn by a program, not given by people
    noise_floor_rmse: float | None = None  # stars; no model can expect less; None where it is not known
    example_gen: ExampleGenConfig = dataclasses.field(default_factory=ExampleGenConfig)
    transform: TransformConfig = dataclasses.field(default_factory=TransformConfig)
    model: DeepFMConfig = dataclasses.field(default_factory=DeepFMConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluator: EvaluatorConfig = dataclasses.field(default_factory=EvaluatorConfig)
    serving_validator: ServingValidatorConfig = dataclasses.field(default_factory=ServingValidatorConfig)
    keep_versions: int = 10  # newest ones in the serving folder that a push leaves there, at least 1
    beam_args: tuple[str, ...] = LOCAL_BEAM_ARGS  # of the nodes that run on Beam

    def __post_init__(self) -> None:
        if self.dataset in ("", ".", "..") or "/" in self.dataset:
            raise ValueError(f"`dataset` must be a folder's name, got {self.dataset!r}")
        if self.noise_floor_rmse is not None and not self.noise_floor_rmse >= 0:
            raise ValueError(f"`noise_floor_rmse` must not be negative, got {self.noise_floor_rmse}")

        if self.keep_versions < 1:
            raise ValueError(f"`keep_versions` must be at least 1, got {self.keep_versions}")

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return f"{MODEL_NAME}-{self.dataset}"

    @property
    def artifacts(self) -> Path:
        """Folder of the artifacts."""
        return self.root / "artifacts"

    @property
    def metadata(self) -> Path:
        """File of the ML Metadata database."""
        return self.root / "metadata.sqlite"

    @property
    def serving(self) -> Path:
        """Folder of the numbered versions, TensorFlow Serving's model_base_path."""
        return self.root / "serving" / MODEL_NAME


def notebook(config: PipelineConfig) -> PipelineConfig:
    """Return the configuration with the model of the notebook that the project began as.

    Two ids, the last three of a movie's genres out of the 14 most frequent, and one number. The
    notebook fed the user's occupation into the input that it called fea4, as a code from 0 to 20 and not
    scaled; the project's numeric feature is the zip, as a z-score, and `DeepFMConfig.numeric` chooses.
    Being scaled, it lets the same network reach a lower error than the notebook's did.
    """
    return dataclasses.replace(
        config,
        transform=TransformConfig(max_genres=3, genre_vocabulary_size=14),
        model=DeepFMConfig(
            categorical=(features.UID.name, features.MID.name, features.GENRES.name),
            embedding_dim=20,
            hidden_units=(64, 64),
            dropout_rate=0.5,
            dropout_position="before",
            deep_output_activation="relu",
            embedding_l2=0.0,
            oov_dropout_rate=0.0,
            clip_rating=False,
        ),
        train=TrainConfig(batch_size=2048, epochs=30, learning_rate=0.001, averaging_epochs=0.0, patience=3),
    )


PRESETS = {"default": lambda config: config, "notebook": notebook}
