import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import json_format
from tfx.dsl.compiler import compiler
from tfx.dsl.components.common.resolver import Resolver

import pipeline.source_fingerprint
from components.ratings_example_gen.config import SpanConfig, SplitMethod
from pipeline.beam_profiles import BeamConfig
from pipeline.config import PRESETS, PipelineConfig
from pipeline.dataset.resolve import Dataset
from pipeline.graph import create_pipeline
from pipeline.run_options import RunRequest
from pipeline.source_fingerprint import source_fingerprint

ROOT = Path(__file__).parents[2]

# TFX sorts what is ready at the same time by name.
NODES = [
    "ImportSchemaGen",
    "RatingsExampleGen",
    "ServedModel",
    "StatisticsGen",
    "ExampleValidator",
    "DataGate",
    "Transform",
    "Trainer",
    "Evaluator",
    "ServingValidator",
    "Pusher",
    "ModelReport",
]


def _config(root):
    return PipelineConfig(dataset="ml-1m", data_folder=root / "data", root=root / "runs", generated=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("graph")


@pytest.fixture(scope="module")
def config(folder):
    return _config(folder)


@pytest.fixture(scope="module")
def graph(config):
    return create_pipeline(config)


@pytest.fixture(scope="module")
def nodes(graph):
    return {node.id: node for node in graph.components}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Let the fingerprints be those of a copy of the project, for a test to edit."""
    for package in ("pipeline", "components", "serving", "schema"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(pipeline.source_fingerprint, "_ROOT", tmp_path)
    source_fingerprint.cache_clear()
    yield tmp_path
    source_fingerprint.cache_clear()


def _compiled(graph):
    return compiler.Compiler().compile(graph)


def _fingerprints(config):
    source_fingerprint.cache_clear()
    return {
        node.id: node.exec_properties.get("source_fingerprint") for node in create_pipeline(config).components
    }


def _inputs(node):
    return {
        name: f"{channel.producer_component_id}.{channel.output_key}" for name, channel in node.inputs.items()
    }


def test_nodes_in_order(graph):
    assert [node.id for node in graph.components] == NODES


def test_no_node_is_a_resolver(graph):
    assert not any(isinstance(node, Resolver) for node in graph.components)
    compiled = [node.pipeline_node for node in _compiled(graph).nodes]
    assert len(compiled) == 12
    assert not any(node.inputs.HasField("resolver_config") for node in compiled)


@pytest.mark.parametrize(
    ("node", "upstream"),
    [
        ("ImportSchemaGen", set()),
        ("RatingsExampleGen", set()),
        ("ServedModel", {"RatingsExampleGen"}),
        ("StatisticsGen", {"RatingsExampleGen"}),
        ("ExampleValidator", {"StatisticsGen", "ImportSchemaGen"}),
        (
            "DataGate",
            {"ExampleValidator", "StatisticsGen", "ImportSchemaGen", "RatingsExampleGen", "ServedModel"},
        ),
        ("Transform", {"RatingsExampleGen", "ImportSchemaGen", "DataGate"}),
        ("Trainer", {"Transform", "ImportSchemaGen", "ServedModel"}),
        ("Evaluator", {"RatingsExampleGen", "Trainer", "ServedModel"}),
        (
            "ServingValidator",
            {"RatingsExampleGen", "StatisticsGen", "Transform", "Trainer", "ServedModel"},
        ),
        ("Pusher", {"Evaluator", "ServingValidator"}),
        (
            "ModelReport",
            {"RatingsExampleGen", "DataGate", "Trainer", "Evaluator", "ServingValidator", "Pusher"},
        ),
    ],
)
def test_a_node_waits_for(nodes, node, upstream):
    assert {node.id for node in nodes[node].upstream_nodes} == upstream


def test_what_is_served_is_the_start_of_the_training(nodes):
    assert _inputs(nodes["Trainer"]) == {
        "examples": "Transform.transformed_examples",
        "transform_graph": "Transform.transform_graph",
        "schema": "ImportSchemaGen.schema",
        "base_model": "ServedModel.model",
    }


@pytest.mark.parametrize(("split", "by_time"), [(SplitMethod.RANDOM, 0), (SplitMethod.TIME, 1)])
def test_what_is_served_is_held_against_the_split(config, split, by_time):
    example_gen = dataclasses.replace(config.example_gen, split=split)
    nodes = {
        n.id: n for n in create_pipeline(dataclasses.replace(config, example_gen=example_gen)).components
    }
    properties = nodes["ServedModel"].exec_properties
    assert properties["split_identity"] == example_gen.split_identity
    assert properties["split_by_time"] == by_time


def test_what_is_served_is_the_baseline_of_each_gate(nodes):
    assert _inputs(nodes["DataGate"]) == {
        "anomalies": "ExampleValidator.anomalies",
        "statistics": "StatisticsGen.statistics",
        "schema": "ImportSchemaGen.schema",
        "examples": "RatingsExampleGen.examples",
        "rejected_rows": "RatingsExampleGen.rejected_rows",
        "baseline_model": "ServedModel.model",
    }
    assert _inputs(nodes["Evaluator"]) == {
        "examples": "RatingsExampleGen.examples",
        "model": "Trainer.model",
        "baseline_model": "ServedModel.model",
    }
    assert _inputs(nodes["ServingValidator"]) == {
        "model": "Trainer.model",
        "examples": "RatingsExampleGen.examples",
        "transform_graph": "Transform.transform_graph",
        "catalogue": "RatingsExampleGen.catalogue",
        "statistics": "StatisticsGen.statistics",
        "baseline_model": "ServedModel.model",
    }


def test_the_pusher_takes_both_blessings_and_no_model_beside(nodes):
    assert _inputs(nodes["Pusher"]) == {
        "model_blessing": "Evaluator.blessing",
        "infra_blessing": "ServingValidator.blessing",
    }


def test_the_pusher_and_the_baseline_share_the_serving_folder(nodes, folder):
    serving = str(folder / "runs" / "serving" / "deepfm")
    assert nodes["Pusher"].exec_properties["serving_dir"] == serving
    assert nodes["ServedModel"].exec_properties["serving_dir"] == serving
    assert nodes["DataGate"].exec_properties["serving_dir"] == serving


def test_no_node_knows_where_the_project_is_installed(graph):
    assert str(ROOT) not in json_format.MessageToJson(_compiled(graph))


def test_each_split_has_its_use(nodes):
    assert json.loads(nodes["Transform"].exec_properties["splits_config"]) == {
        "analyze": ["train", "valid"],
        "transform": ["train", "valid"],
    }
    assert json.loads(nodes["Trainer"].exec_properties["train_args"]) == {"splits": ["train"]}
    assert json.loads(nodes["Trainer"].exec_properties["eval_args"]) == {"splits": ["valid"]}
    assert json.loads(nodes["Evaluator"].exec_properties["example_splits"]) == ["test"]
    assert json.loads(nodes["StatisticsGen"].exec_properties["exclude_splits"]) == []
    assert json.loads(nodes["ExampleValidator"].exec_properties["exclude_splits"]) == []


def test_the_nodes_that_tfx_hosts_run_the_project_s_modules(nodes):
    assert nodes["Transform"].exec_properties["preprocessing_fn"] == (
        "components.transform.preprocessing.preprocessing_fn"
    )
    assert nodes["Trainer"].exec_properties["run_fn"] == "components.gibbs.run_fn.run_fn"
    executors = {
        node: nodes[node].executor_spec.class_path
        for node in ("Trainer", "Evaluator", "Pusher", "RatingsExampleGen")
    }
    assert executors == {
        "Trainer": "components.trainer.executor.Executor",
        "Evaluator": "components.evaluator.executor.Executor",
        "Pusher": "components.pusher.executor.Executor",
        "RatingsExampleGen": "components.ratings_example_gen.executor.Executor",
    }


def test_what_is_trained_by_gradient_learns_nothing_from_the_validation_rows(config):
    nodes = {node.id: node for node in create_pipeline(PRESETS["gradient"](config)).components}
    assert nodes["Trainer"].exec_properties["run_fn"] == "components.trainer.run_fn.run_fn"
    assert json.loads(nodes["Transform"].exec_properties["splits_config"])["analyze"] == ["train"]


def test_configurations_reach_their_nodes(config):
    config = dataclasses.replace(PRESETS["notebook"](config), noise_floor_rmse=0.83)
    nodes = {node.id: node for node in create_pipeline(config).components}
    trainer = json.loads(nodes["Trainer"].exec_properties["custom_config"])
    assert trainer == {"model_config": config.model.to_json(), "train_config": config.train.to_json()}
    assert json.loads(nodes["Transform"].exec_properties["custom_config"]) == {
        "transform_config": '{"genre_vocabulary_size": 14, "max_genres": 3}'
    }
    assert nodes["ServingValidator"].exec_properties["manifest"] == json.dumps(
        {
            "dataset": "ml-1m",
            "model_config": config.model.to_json(),
            "split_identity": "random seed=0 test=0.1 valid=0.05",
            "train_config": config.train.to_json(),
        }
    )
    assert nodes["ModelReport"].exec_properties["dataset"] == (
        '{"generated": false, "name": "ml-1m", "noise_floor_rmse": 0.83}'
    )


def test_days_reach_their_nodes_and_the_date_is_no_part_of_the_split_identity(config):
    identities = set()
    for run_date in ("2000-12-30", "2000-12-31"):
        run = dataclasses.replace(
            config,
            run_date=run_date,
            window_days=30,
            example_gen=dataclasses.replace(config.example_gen, spans=SpanConfig()),
        )
        nodes = {n.id: n for n in create_pipeline(run).components}
        for node in ("RatingsExampleGen", "ModelReport"):
            properties = nodes[node].exec_properties
            assert {name: properties[name] for name in ("run_date", "lag_days", "window_days")} == {
                "run_date": run_date,
                "lag_days": 0,
                "window_days": 30,
            }
            assert json.loads(properties["example_gen_config"])["spans"] == {
                "allow_missing": False,
                "evaluation_days": 7,
            }
        properties = nodes["ServedModel"].exec_properties
        identities.add((properties["split_identity"], properties["training_config"]))
    ((split_identity, _),) = identities
    assert split_identity == "spans seed=0 valid=0.05"


def test_another_training_is_another_served_model(config, nodes):
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=1))
    changed = {node.id: node for node in create_pipeline(other).components}
    differing = {node for node in NODES if nodes[node].exec_properties != changed[node].exec_properties}
    assert differing == {"Trainer", "ServedModel", "ServingValidator", "ModelReport"}


def test_data_that_is_accepted_is_another_data_gate(config, graph):
    """What a person asks for reaches the node, and its cache key, and no other node's."""
    request = RunRequest(
        dataset=Dataset(
            name="ml-1m",
            folder=config.data_folder,
            last_day=None,
            generated=False,
            noise_floor_rmse=None,
            origin="here",
        ),
        runs=config.root.parent,
        preset="default",
        seed=0,
        accept_data=True,
    )
    accepting = dataclasses.replace(config, accept_data=request.config.accept_data)
    parameters = [
        {n.pipeline_node.node_info.id: n.pipeline_node.parameters.parameters for n in _compiled(g).nodes}
        for g in (graph, create_pipeline(accepting))
    ]
    differing = [node for node in NODES if parameters[0][node] != parameters[1][node]]
    assert differing == ["DataGate"]
    assert [p["DataGate"]["accept_data"].field_value.string_value for p in parameters] == ["false", "true"]


def test_another_ingestion_is_another_training(config, nodes):
    ingestion = dataclasses.replace(config.example_gen, max_rejected_fraction=0.5)
    other = dataclasses.replace(config, example_gen=ingestion)
    changed = {node.id: node for node in create_pipeline(other).components}
    differing = {node for node in NODES if nodes[node].exec_properties != changed[node].exec_properties}
    assert differing == {"RatingsExampleGen", "ServedModel", "ModelReport"}


@pytest.mark.parametrize(
    "edited",
    [
        "schema/schema.pbtxt",
        "components/ratings_example_gen/parse.py",
        "components/transform/preprocessing.py",
        "components/deepfm/second_order.py",
    ],
)
def test_an_edit_of_what_the_model_comes_from_is_another_training(config, project, edited):
    before = {n.id: n for n in create_pipeline(config).components}["ServedModel"].exec_properties
    with (project / edited).open("a") as file:
        file.write("\n")
    source_fingerprint.cache_clear()
    after = {n.id: n for n in create_pipeline(config).components}["ServedModel"].exec_properties
    assert after["training_config"] != before["training_config"]


def test_every_node_of_the_project_s_own_code_carries_its_fingerprint(nodes):
    carried = {
        name: node.exec_properties["source_fingerprint"]
        for name, node in nodes.items()
        if "source_fingerprint" in node.exec_properties
    }
    assert set(carried) == set(NODES) - {"StatisticsGen", "ExampleValidator"}
    assert all(carried.values())
    assert len(set(carried.values())) == len(carried) == 10


def test_the_fingerprint_is_part_of_the_cache_key(graph, nodes):
    compiled = {node.pipeline_node.node_info.id: node.pipeline_node for node in _compiled(graph).nodes}
    for name in ("Transform", "Trainer", "ImportSchemaGen"):
        parameter = compiled[name].parameters.parameters["source_fingerprint"]
        assert parameter.field_value.string_value == nodes[name].exec_properties["source_fingerprint"]


@pytest.mark.parametrize(
    ("edited", "reruns"),
    [
        ("schema/schema.pbtxt", {"ImportSchemaGen"}),
        ("components/ratings_example_gen/parse.py", {"RatingsExampleGen", "DataGate", "ModelReport"}),
        ("components/data_gate/executor.py", {"DataGate"}),
        ("components/data_gate/report.py", {"DataGate", "ModelReport"}),
        ("components/transform/preprocessing.py", {"Transform"}),
        ("components/deepfm/second_order.py", {"Trainer", "ServingValidator"}),
        ("components/evaluator/executor.py", {"Evaluator"}),
        ("components/evaluator/rating_errors.py", {"Evaluator", "ModelReport"}),
        ("components/serving_validator/session_check.py", {"ServingValidator"}),
        ("serving/versions.py", {"ServedModel", "DataGate", "ServingValidator", "Pusher", "ModelReport"}),
        ("components/trainer/warm_start.py", {"Trainer", "ServingValidator"}),
        ("components/model_report/report.html.jinja", {"ModelReport"}),
    ],
)
def test_an_edit_runs_the_nodes_that_it_concerns_again(config, project, edited, reruns):
    before = _fingerprints(config)
    with (project / edited).open("a") as file:
        file.write("\n")
    after = _fingerprints(config)
    assert {node for node in NODES if after[node] != before[node]} == reruns


@pytest.mark.parametrize("edited", ["pipeline/graph.py", "pipeline/cli.py", "serving/client/client.py"])
def test_an_edit_of_what_no_node_runs_leaves_the_cache_whole(config, project, edited):
    before = _fingerprints(config)
    with (project / edited).open("a") as file:
        file.write("\n")
    assert _fingerprints(config) == before


def test_it_writes_nothing(tmp_path):
    create_pipeline(_config(tmp_path))
    assert list(tmp_path.rglob("*")) == []


def test_the_same_configuration_gives_the_same_graph(config, graph):
    again = json_format.MessageToDict(_compiled(create_pipeline(config)))
    assert again == json_format.MessageToDict(_compiled(graph))


def test_where_it_runs_is_in_the_configuration(graph, folder):
    assert graph.pipeline_info.pipeline_name == "deepfm-ml-1m"
    assert graph.pipeline_info.pipeline_root == str(folder / "runs" / "artifacts")
    assert graph.metadata_connection_config.sqlite.filename_uri == str(folder / "runs" / "metadata.sqlite")
    assert graph.enable_cache is True
    assert graph.beam_pipeline_args == list(BeamConfig().args)
