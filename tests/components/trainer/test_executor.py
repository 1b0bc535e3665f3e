"""TFX's Trainer on real artifacts: what it makes of the model that ServedModel found."""

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import json_format
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.deepfm.config import DeepFMConfig
from components.served_model.properties import BASELINE_VERSION, UNFAIR
from components.trainer.config import TrainConfig
from components.trainer.executor import Executor
from components.trainer.start import Start
from components.trainer.warm_start import WARM_START_FILE
from schema import features


@pytest.fixture
def run(tmp_path, data, trained):
    """Run the executor with a base model of a version, and return how the training began."""

    def artifact(kind, name):
        made = kind()
        made.uri = str(tmp_path / name)
        Path(made.uri).mkdir()
        return made

    def start(version, unfair=""):
        examples = artifact(standard_artifacts.Examples, "examples")
        examples.split_names = artifact_utils.encode_split_names(["train", "valid"])
        for split in ("train", "valid"):
            folder = Path(artifact_utils.get_split_uris([examples], split)[0])
            folder.mkdir()
            shutil.copy(data.folder / f"{split}.gz", folder)
        graph = standard_artifacts.TransformGraph()
        graph.uri = str(data.folder / "graph")
        schema = artifact(standard_artifacts.Schema, "schema")
        shutil.copy(features.SCHEMA_PATH, schema.uri)
        base = artifact(standard_artifacts.Model, "base")
        base.set_int_custom_property(BASELINE_VERSION, version)
        base.set_string_custom_property(UNFAIR, unfair)
        if version:
            shutil.copytree(trained / "model", path_utils.serving_model_path(base.uri))
        model = artifact(standard_artifacts.Model, "model")
        model_run = artifact(standard_artifacts.ModelRun, "run")
        config = {
            "model_config": DeepFMConfig(embedding_dim=4, hidden_units=(8,)).to_json(),
            "train_config": TrainConfig(epochs=1, warm_epochs=1).to_json(),
        }
        Executor().Do(
            {
                "examples": [examples],
                "transform_graph": [graph],
                "schema": [schema],
                "base_model": [base],
            },
            {"model": [model], "model_run": [model_run]},
            {
                "run_fn": "components.trainer.run_fn.run_fn",
                "train_args": json_format.MessageToJson(TrainArgs(splits=["train"])),
                "eval_args": json_format.MessageToJson(EvalArgs(splits=["valid"])),
                "custom_config": json.dumps(config),
            },
        )
        assert Path(path_utils.serving_model_path(model.uri), WARM_START_FILE).is_file()
        return Start.read(model_run.uri)

    return start


def test_training_begins_with_the_served_model(run):
    start = run(3)
    assert (start.version, start.reason) == (3, "")
    assert start.entries[features.MID.name].kept == 29


@pytest.mark.parametrize(
    ("version", "unfair", "reason"),
    [
        (0, "", "no model was served before this one"),
        (3, "was trained on another split", "version 3 was trained on another split"),
    ],
)
def test_without_a_fair_one_it_begins_with_nothing_and_says_why(run, version, unfair, reason):
    assert run(version, unfair) == Start(version=None, reason=reason)
