"""What a run is told: one frozen configuration, and the presets."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.data_gate.config import DataGateConfig
from components.deepfm.config import DRIFT_SECONDS, TWO_SIDED, DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.fit_config import FitConfig
from components.gibbs.config import GibbsConfig
from components.ratings_example_gen.config import ExampleGenConfig
from components.serving_validator.config import ServingValidatorConfig
from components.trainer.config import TrainConfig
from components.transform.config import TransformConfig
from pipeline.beam_profiles import BeamConfig
from schema import features
from serving.versions import MODEL_NAME


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What a node gets, and what it is held to, where each runs in a container of its own."""

    cpu: float = 2.0  # cores, above 0; the limit of the container
    memory_gb: float = 8.0  # 1e9 bytes, above 0; a container that takes more is killed
    gpus: int = 0
    retries: int = 2  # further attempts after one that failed
    timeout_seconds: int = 7200  # of one attempt, above 0
    cache: bool = True  # an earlier result serves where inputs, parameters and image are the same

    def __post_init__(self) -> None:
        for name in ("cpu", "memory_gb", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        for name in ("gpus", "retries"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must not be negative, got {getattr(self, name)}")


# A back end looks into its cache before a container could read anything: what a node reads outside the
# graph is no part of the key.
_OUTSIDE = TaskConfig(cache=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KubeflowConfig:
    """What the package for Kubeflow Pipelines says beside the graph."""

    image: str  # made from the Dockerfile, with its registry and tag
    pipeline_root: str = ""  # minio://, s3:// or gs:// address of the artifacts; "" for the back end's own
    volumes: Mapping[str, str] = dataclasses.field(default_factory=dict)  # mount path by claim's name
    gpu_type: str = "nvidia.com/gpu"  # Kubernetes' name of the resource
    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)  # of each node that `tasks` lacks
    tasks: Mapping[str, TaskConfig] = dataclasses.field(
        default_factory=lambda: {
            "RatingsExampleGen": _OUTSIDE,
            "ServedModel": _OUTSIDE,
            "DataGate": _OUTSIDE,
            "Pusher": _OUTSIDE,
            "Trainer": TaskConfig(cpu=4.0, memory_gb=16.0),
        }
    )  # by node name

    def __post_init__(self) -> None:
        if not self.image:
            raise ValueError("`image` must name the container image, got ''")
        schemes = ("minio://", "s3://", "gs://")
        if self.pipeline_root and not self.pipeline_root.startswith(schemes):
            raise ValueError(
                f"`pipeline_root` must begin with minio://, s3:// or gs://, got {self.pipeline_root!r}"
            )
        for claim, path in self.volumes.items():
            if not claim or not path.startswith("/"):
                raise ValueError(f"`volumes` must map a claim to an absolute path, got {claim!r}: {path!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A model, its training, and what Transform makes for it."""

    model: DeepFMConfig
    train: FitConfig
    transform: TransformConfig = dataclasses.field(default_factory=TransformConfig)

    def __call__(self, config: "PipelineConfig") -> "PipelineConfig":
        """Return the configuration with what the preset says."""
        return dataclasses.replace(config, model=self.model, train=self.train, transform=self.transform)


def _two_sided(**sizes: Any) -> DeepFMConfig:
    """Return a model that can be fitted by Gibbs sampling."""
    return DeepFMConfig(
        architecture=TWO_SIDED,
        numeric=(),
        dropout_rate=0.0,
        embedding_l2=0.0,
        oov_dropout_rate=0.0,
        drift_seconds=DRIFT_SECONDS,
        **sizes,
    )


PRESETS = {
    # The best of a search (components/gibbs/README.md).
    "default": Preset(
        model=_two_sided(embedding_dim=64, chains=2, hidden_units=(32, 16)),
        train=GibbsConfig(),
    ),
    # Trained soonest.
    "fast": Preset(
        model=_two_sided(embedding_dim=16, hidden_units=(32,)),
        train=GibbsConfig(burn_in=10, sweeps=20, warm_burn_in=3, implicit_rank=64, deep_share=0.25),
    ),
    # The most accurate.
    "best": Preset(
        model=_two_sided(embedding_dim=512, chains=8, hidden_units=(32, 16)), train=GibbsConfig(burn_in=40)
    ),
    # For ratings that the memory of one machine cannot hold, and for other architectures.
    "gradient": Preset(model=DeepFMConfig(), train=TrainConfig()),
    # The model of the notebook that the project began as: two ids, the last three of a movie's genres out of
    # the 14 most frequent, and one number. The notebook fed the user's occupation into the input that it
    # called fea4, as a code from 0 to 20 and not scaled; the project's numeric feature is the zip, as a
    # z-score, and `DeepFMConfig.numeric` chooses. Being scaled, it lets the same network reach a lower error
    # than the notebook's did.
    "notebook": Preset(
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
        transform=TransformConfig(max_genres=3, genre_vocabulary_size=14),
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Everything that the graph depends on; of the preset `default`, where nothing else is said."""

    dataset: str  # name; one component of every path
    data_folder: Path | str  # holds ratings.dat, movies.dat and users.dat, or folders of days; or an address
    root: Path  # everything that runs on this dataset leave behind
    run_date: str = (
        ""  # of a folder of days, as 2000-12-31; "" of a flat dataset, or where each run gets its own
    )
    window_days: int = 0  # of a folder of days: to train on; 0 for all before the evaluation span
    accept_data: bool = False  # DataGate only warns of what is not like before
    generated: bool  # the ratings were drawn by a program, not given by people
    noise_floor_rmse: float | None = None  # stars; no model can expect less; None where it is not known
    example_gen: ExampleGenConfig = dataclasses.field(default_factory=ExampleGenConfig)
    data_gate: DataGateConfig = dataclasses.field(default_factory=DataGateConfig)
    transform: TransformConfig = PRESETS["default"].transform
    model: DeepFMConfig = PRESETS["default"].model
    train: FitConfig = PRESETS["default"].train
    evaluator: EvaluatorConfig = dataclasses.field(default_factory=EvaluatorConfig)
    serving_validator: ServingValidatorConfig = dataclasses.field(default_factory=ServingValidatorConfig)
    keep_versions: int = 10  # newest ones in the serving folder that a push leaves there, at least 1
    keep_runs: int = 30  # newest ones on this machine whose artifacts and logs stay on the disk, at least 1
    beam: BeamConfig = dataclasses.field(default_factory=BeamConfig)  # of the nodes that run on Beam

    def __post_init__(self) -> None:
        if self.dataset in ("", ".", "..") or "/" in self.dataset:
            raise ValueError(f"`dataset` must be a folder's name, got {self.dataset!r}")
        if self.noise_floor_rmse is not None and not self.noise_floor_rmse >= 0:
            raise ValueError(f"`noise_floor_rmse` must not be negative, got {self.noise_floor_rmse}")
        for name in ("keep_versions", "keep_runs"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}")
        if isinstance(self.train, GibbsConfig) != (self.model.architecture == TWO_SIDED):
            raise ValueError(
                f"`train` must be a GibbsConfig for the architecture {TWO_SIDED!r}, and for no other, "
                f"got a {type(self.train).__name__} for {self.model.architecture!r}"
            )

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
