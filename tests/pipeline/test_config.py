import dataclasses
import pickle
from pathlib import Path

import pytest

from components.deepfm.config import DeepFMConfig
from components.gibbs.config import GibbsConfig
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from components.trainer.config import TrainConfig
from pipeline.beam_profiles import BeamConfig
from pipeline.config import PRESETS, KubeflowConfig, PipelineConfig, TaskConfig
from schema import features


@pytest.fixture
def config():
    return PipelineConfig(
        dataset="ml-1m", data_folder=Path("/data/ml-1m"), root=Path("/runs/ml-1m"), generated=False
    )


def test_paths(config):
    assert config.artifacts == Path("/runs/ml-1m/artifacts")
    assert config.metadata == Path("/runs/ml-1m/metadata.sqlite")
    assert config.serving == Path("/runs/ml-1m/serving/deepfm")


def test_the_pipeline_is_named_after_model_and_dataset(config):
    assert config.name == "deepfm-ml-1m"
    assert config.serving.name == "deepfm"


@pytest.mark.parametrize("dataset", ["", "..", "a/b"])
def test_a_name_that_is_no_folder_s_is_refused(config, dataset):
    with pytest.raises(ValueError, match=f"^`dataset` must be a folder's name, got '{dataset}'$"):
        dataclasses.replace(config, dataset=dataset)


def test_is_frozen_and_keyword_only(config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dataset = "ml-20m"
    with pytest.raises(TypeError):
        PipelineConfig("ml-1m", Path("/data"), Path("/runs"), False)


@pytest.mark.parametrize("missing", ["dataset", "data_folder", "root", "generated"])
def test_what_only_the_caller_knows_has_no_default(missing):
    values = {"dataset": "ml-1m", "data_folder": Path("/data"), "root": Path("/runs"), "generated": False}
    del values[missing]
    with pytest.raises(TypeError, match=missing):
        PipelineConfig(**values)


@pytest.mark.parametrize("preset", ["default", "notebook"])
def test_it_reaches_the_worker_as_it_is(config, preset):
    changed = PRESETS[preset](dataclasses.replace(config, noise_floor_rmse=0.83))
    assert pickle.loads(pickle.dumps(changed)) == changed


def test_presets(config):
    assert list(PRESETS) == ["default", "fast", "best", "gradient", "notebook"]
    assert PRESETS["default"](config) == config
    gradient = PRESETS["gradient"](config)
    assert (gradient.model, gradient.train) == (DeepFMConfig(), TrainConfig())


@pytest.mark.parametrize("name", ["default", "fast", "best"])
def test_a_sampled_model_reads_every_category_and_the_moment(config, name):
    sampled = PRESETS[name](config)
    assert isinstance(sampled.train, GibbsConfig)
    assert sampled.model.architecture == "two_sided"
    assert sampled.model.categorical == tuple(feature.name for feature in features.CATEGORICAL)
    assert sampled.model.drift_seconds == (20.0, 1800.0, 100_000.0)
    # What would pull the weights of a gradient's model towards 0 is the prior's matter.
    assert sampled.model.embedding_l2 == sampled.model.oov_dropout_rate == 0


def test_method_and_architecture_must_fit(config):
    with pytest.raises(
        ValueError, match="`train` must be a GibbsConfig for the architecture 'two_sided', and"
    ):
        dataclasses.replace(config, model=DeepFMConfig())
    with pytest.raises(ValueError, match="for no other, got a TrainConfig for 'two_sided'"):
        dataclasses.replace(config, train=TrainConfig())


def test_a_gradient_s_model_reads_every_field(config):
    gradient = PRESETS["gradient"](config)
    assert dataclasses.asdict(gradient.transform) == {"max_genres": 6, "genre_vocabulary_size": None}
    assert gradient.model.architecture == "deepfm"
    assert gradient.model.categorical == tuple(feature.name for feature in features.CATEGORICAL)
    assert gradient.model.numeric == (features.ZIP.name,)


def test_the_notebook_keeps_three_genres_out_of_fourteen(config):
    assert dataclasses.asdict(PRESETS["notebook"](config).transform) == {
        "max_genres": 3,
        "genre_vocabulary_size": 14,
    }


def test_the_notebook_s_model(config):
    assert dataclasses.asdict(PRESETS["notebook"](config).model) == {
        "architecture": "deepfm",
        "categorical": (features.UID.name, features.MID.name, features.GENRES.name),
        "numeric": (features.ZIP.name,),
        "embedding_dim": 20,
        "hidden_units": (64, 64),
        "dropout_rate": 0.5,
        "dropout_position": "before",
        "deep_output_activation": "relu",
        "embedding_l2": 0.0,  # so that the loss is the squared error alone
        "oov_dropout_rate": 0.0,
        "chains": 1,
        "drift_seconds": (),
        "clip_rating": False,
    }


def test_the_notebook_s_training(config):
    training = dataclasses.asdict(PRESETS["notebook"](config).train)
    del training["block_rows"]  # bounds the memory, and changes no result below it
    assert training == {
        "method": "gradient",
        "batch_size": 2048,
        "epochs": 30,
        "patience": 3,
        "learning_rate": 0.001,
        "averaging_epochs": 0.0,
        "cold": False,
        "warm_epochs": 3,
        "warm_share": 0.7,
        "seed": 0,
    }


def test_the_notebook_changes_nothing_else(config):
    config = dataclasses.replace(
        config,
        generated=True,
        noise_floor_rmse=0.83,
        example_gen=ExampleGenConfig(split=SplitMethod.TIME),
        beam=BeamConfig(options=("--direct_num_workers=2",)),
    )
    changed = PRESETS["notebook"](config)
    same = dataclasses.replace(changed, transform=config.transform, model=config.model, train=config.train)
    assert same == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpu": 0}, "`cpu` must be positive, got 0"),
        ({"memory_gb": -1.5}, "`memory_gb` must be positive, got -1.5"),
        ({"timeout_seconds": 0}, "`timeout_seconds` must be positive, got 0"),
        ({"gpus": -1}, "`gpus` must not be negative, got -1"),
        ({"retries": -1}, "`retries` must not be negative, got -1"),
    ],
)
def test_what_a_task_cannot_get_is_refused(values, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TaskConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": ""}, "`image` must name the container image"),
        ({"pipeline_root": "/mnt"}, "`pipeline_root` must begin with minio://, s3:// or gs://, got '/mnt'"),
        (
            {"volumes": {"deepfm": "mnt"}},
            "`volumes` must map a claim to an absolute path, got 'deepfm': 'mnt'",
        ),
    ],
)
def test_what_kubeflow_cannot_take_is_refused(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        KubeflowConfig(**{"image": "deepfm:1", **values})


def test_what_reads_outside_the_graph_is_not_cached():
    tasks = KubeflowConfig(image="deepfm:1").tasks
    assert {node for node, task in tasks.items() if not task.cache} == {
        "RatingsExampleGen",
        "ServedModel",
        "DataGate",
        "Pusher",
    }


@pytest.mark.parametrize("name", ["keep_versions", "keep_runs"])
def test_what_stays_is_one_at_least(config, name):
    with pytest.raises(ValueError, match=f"^`{name}` must be at least 1, got 0$"):
        dataclasses.replace(config, **{name: 0})
