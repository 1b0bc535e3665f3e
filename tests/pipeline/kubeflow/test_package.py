import dataclasses
import json

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

from components.ratings_example_gen.config import SpanConfig
from pipeline import cli
from pipeline.config import KubeflowConfig, TaskConfig
from pipeline.graph import create_pipeline
from pipeline.kubeflow.artifact_types import ARTIFACT_TYPES
from pipeline.kubeflow.package import compile_package, write_package

IMAGE = "registry.example/deepfm:1"
READ_OUTSIDE = {"RatingsExampleGen", "ServedModel", "DataGate", "Pusher"}


@pytest.fixture(scope="module")
def documents(config):
    return compile_package(
        config,
        KubeflowConfig(
            image=IMAGE,
            pipeline_root="minio://bucket/deepfm",
            volumes={"deepfm": "/mnt"},
            task=TaskConfig(cpu=1.5, memory_gb=4, retries=3, timeout_seconds=600),
            tasks={
                **{node: TaskConfig(cache=False) for node in READ_OUTSIDE},
                "Trainer": TaskConfig(cpu=8, memory_gb=32, gpus=1, retries=0, timeout_seconds=3600),
            },
        ),
    )


@pytest.fixture(scope="module")
def nodes(config):
    """Ids of the graph's nodes."""
    return {node.id for node in create_pipeline(config).components}


@pytest.fixture(scope="module")
def spec(documents):
    return documents[0]


@pytest.fixture(scope="module")
def containers(spec):
    """Container by node."""
    executors = spec["deploymentSpec"]["executors"]
    return {
        node: executors[component["executorLabel"]]["container"]
        for node, component in spec["components"].items()
    }


def test_it_is_the_graph_in_pipeline_specification_2_1(spec, nodes):
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert parsed.schema_version == "2.1.0"
    assert parsed.pipeline_info.name == "deepfm-small"
    assert set(parsed.root.dag.tasks) == nodes
    assert spec["defaultPipelineRoot"] == "minio://bucket/deepfm"
    assert list(parsed.root.dag.tasks["Evaluator"].dependent_tasks) == [
        "RatingsExampleGen",
        "ServedModel",
        "Trainer",
    ]


def test_a_run_chooses_the_roots_or_gets_those_of_the_configuration(spec):
    assert spec["root"]["inputDefinitions"]["parameters"] == {
        "data_folder": {"parameterType": "STRING", "defaultValue": "/mnt/data"},
        "serving_folder": {"parameterType": "STRING", "defaultValue": "/mnt/runs/small/serving/deepfm"},
        "accept_data": {"parameterType": "BOOLEAN", "defaultValue": False},
    }
    tasks = spec["root"]["dag"]["tasks"]
    for node, name, parameter in (
        ("RatingsExampleGen", "input_base", "data_folder"),
        ("ServedModel", "serving_dir", "serving_folder"),
        ("DataGate", "serving_dir", "serving_folder"),
        ("Pusher", "serving_dir", "serving_folder"),
        ("DataGate", "accept_data", "accept_data"),
    ):
        assert tasks[node]["inputs"]["parameters"][name] == {"componentInputParameter": parameter}
    constants = json.dumps([task["inputs"]["parameters"] for task in tasks.values() if "inputs" in task])
    assert "/mnt/" not in constants


def test_a_run_of_a_folder_of_days_must_choose_its_date(config):
    days = dataclasses.replace(
        config,
        window_days=30,
        example_gen=dataclasses.replace(config.example_gen, spans=SpanConfig(evaluation_days=3)),
    )
    spec, _ = compile_package(days, KubeflowConfig(image=IMAGE))
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {name: p for name, p in parameters.items() if name.endswith(("date", "days"))} == {
        "run_date": {"parameterType": "STRING"},
        "lag_days": {"parameterType": "NUMBER_INTEGER", "defaultValue": 0.0},
        "window_days": {"parameterType": "NUMBER_INTEGER", "defaultValue": 30.0},
    }
    for node in ("RatingsExampleGen", "ModelReport"):
        given = spec["root"]["dag"]["tasks"][node]["inputs"]["parameters"]
        for name in ("run_date", "lag_days", "window_days"):
            assert given[name] == {"componentInputParameter": name}


def test_each_task_runs_the_entry_point_in_the_image(containers):
    for node, container in containers.items():
        assert container["image"] == IMAGE, node
        assert container["command"] == ["python", "-m", "pipeline.kubeflow.entrypoint"], node
    assert [a for a in containers["ServedModel"]["args"] if "path}}" in a] == [
        "examples={{$.inputs.artifacts['examples'].path}}",
        "model={{$.outputs.artifacts['model'].path}}",
    ]


def test_the_nodes_that_read_outside_have_a_driver_and_are_not_cached(spec, containers):
    tasks = spec["root"]["dag"]["tasks"]
    assert {
        node for node, task in tasks.items() if not task["cachingOptions"].get("enableCache")
    } == READ_OUTSIDE
    assert {node for node, container in containers.items() if "lifecycle" in container} == READ_OUTSIDE
    assert {node for node, c in containers.items() if "--driver_class_path" in c["args"]} == READ_OUTSIDE


def test_the_driver_s_parameters_have_types(containers):
    args = containers["ServedModel"]["args"]
    inputs_spec = json.loads(args[args.index("--json_serialized_inputs_spec_args") + 1])
    assert inputs_spec["parameters"]["baseline_version"] == {"parameterType": "NUMBER_INTEGER"}
    assert inputs_spec["parameters"]["baseline_fingerprint"] == {"parameterType": "STRING"}
    hook = containers["ServedModel"]["lifecycle"]["preCacheCheck"]
    assert hook["command"] == ["python", "-m", "pipeline.kubeflow.driver"]
    assert hook["args"][-2:] == ["--driver_class_path", "components.served_model.driver.Driver"]
    assert json.loads(hook["args"][3]) == inputs_spec


def test_what_is_true_or_false_is_so_to_the_back_end_and_the_task(spec, containers):
    (given,) = (
        json.loads(containers["DataGate"]["args"][i + 1])["parameters"]
        for i, flag in enumerate(containers["DataGate"]["args"])
        if flag == "--json_serialized_inputs_spec_args"
    )
    of_the_task = spec["components"]["DataGate"]["inputDefinitions"]["parameters"]
    assert given["accept_data"] == of_the_task["accept_data"] == {"parameterType": "BOOLEAN"}


def test_each_task_gets_what_the_configuration_says(documents, containers, nodes):
    spec, platform = documents
    assert containers["Transform"]["resources"] == {
        "cpuLimit": 1.5,
        "resourceCpuLimit": "1.5",
        "memoryLimit": 4,
        "resourceMemoryLimit": "4G",
    }
    assert containers["Trainer"]["resources"] == {
        "cpuLimit": 8,
        "resourceCpuLimit": "8",
        "memoryLimit": 32,
        "resourceMemoryLimit": "32G",
        "accelerator": {
            "type": "nvidia.com/gpu",
            "resourceType": "nvidia.com/gpu",
            "count": "1",
            "resourceCount": "1",
        },
    }
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks["Transform"]["retryPolicy"]["maxRetryCount"] == 3
    assert tasks["Trainer"]["retryPolicy"]["maxRetryCount"] == 0
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == {f"{node}_executor" for node in nodes}
    assert executors["Transform_executor"]["activeDeadlineSeconds"] == "600"
    assert executors["Trainer_executor"]["activeDeadlineSeconds"] == "3600"
    assert executors["Pusher_executor"]["pvcMount"] == [
        {
            "constant": "deepfm",
            "pvcNameParameter": {"runtimeValue": {"constant": "deepfm"}},
            "mountPath": "/mnt",
        }
    ]


def test_ratings_in_an_object_store_come_with_its_key(config):
    _, platform = compile_package(
        dataclasses.replace(config, data_folder="s3://ratings/days"), KubeflowConfig(image="deepfm:1")
    )
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert [name for name, pod in executors.items() if "secretAsEnv" in pod] == ["RatingsExampleGen_executor"]
    (secret,) = executors["RatingsExampleGen_executor"]["secretAsEnv"]
    assert secret["secretName"] == "deepfm-store"
    assert {entry["envVar"]: entry["secretKey"] for entry in secret["keyToEnv"]} == {
        "AWS_ACCESS_KEY_ID": "accesskey",
        "AWS_SECRET_ACCESS_KEY": "secretkey",
        "AWS_ENDPOINT_URL": "endpoint",
        "AWS_DEFAULT_REGION": "region",
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--data /mnt/days", False),
        ("--data gs://ratings/days --pipeline-root minio://bucket", False),
        ("--data s3://ratings/days", True),
        ("--data /mnt/days --pipeline-root s3://bucket", True),
    ],
)
def test_who_compiles_a_package_for_a_store_is_told_what_the_cluster_needs(
    tmp_path, monkeypatch, options, told
):
    monkeypatch.setenv("COLUMNS", "200")
    line = f"compile {tmp_path / 'p.yaml'} --image i --dataset small --root /mnt/runs {options}"
    done = CliRunner().invoke(cli.app, line.split())
    assert done.exit_code == 0
    needs = "the cluster needs the key of its s3:// addresses: `deepfm manifests --endpoint HOST`\n"
    assert done.output.endswith(needs) is told


def test_every_type_of_the_project_s_artifacts_is_known(config):
    outputs = {
        channel.type for node in create_pipeline(config).components for channel in node.outputs.values()
    }
    own = {artifact_type for artifact_type in outputs if artifact_type.__module__.startswith("components.")}
    assert own == set(ARTIFACT_TYPES)


def test_the_file_holds_both_documents(documents, tmp_path):
    write_package(tmp_path / "pipeline.yaml", documents)
    assert list(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())) == documents
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.yaml"]


def test_a_name_that_is_not_yaml_s_is_refused(documents, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.yaml, got .*pipeline\.json"):
        write_package(tmp_path / "pipeline.json", documents)


def test_a_node_that_reads_outside_cannot_be_cached(config):
    with pytest.raises(ValueError, match="`cache` must be False for RatingsExampleGen"):
        compile_package(config, KubeflowConfig(image=IMAGE, tasks={}))


def test_an_unknown_node_is_named(config):
    with pytest.raises(ValueError, match="`tasks` names no node of the graph: Tranier"):
        compile_package(config, KubeflowConfig(image=IMAGE, tasks={"Tranier": TaskConfig()}))


def test_a_name_that_kubeflow_does_not_take_is_refused(config):
    config = dataclasses.replace(config, dataset="Small_1")
    with pytest.raises(ValueError, match="got 'deepfm-Small_1'; rename the dataset 'Small_1'"):
        compile_package(config, KubeflowConfig(image=IMAGE))


DATAFLOW = [
    "--beam=dataflow",
    *(
        f"--beam-option={option}"
        for option in (
            "--project=deepfm",
            "--region=europe-west4",
            "--temp_location=gs://deepfm/tmp",
            "--sdk_container_image=deepfm:1",
        )
    ),
]


@pytest.mark.parametrize(
    ("data", "pipeline_root", "named"),
    [
        ("/mnt/data", "gs://deepfm/root", "--data, got '/mnt/data'"),
        ("gs://deepfm/data", "", "--pipeline-root, got ''"),
        ("gs://deepfm/data", "s3://deepfm/root", "--pipeline-root, got 's3://deepfm/root'"),
    ],
)
def test_workers_outside_the_containers_need_addresses_that_they_open(tmp_path, data, pipeline_root, named):
    output = tmp_path / "pipeline.yaml"
    options = ("--image=deepfm:1", "--dataset=small", f"--data={data}", "--root=/mnt/runs")
    done = CliRunner().invoke(
        cli.app, ["compile", str(output), *options, f"--pipeline-root={pipeline_root}", *DATAFLOW]
    )
    assert done.exit_code == 1
    assert done.output == (
        "--beam dataflow has workers outside the tasks' containers, which open gs:// addresses alone: "
        f"give one as {named}\n"
    )
    assert not output.exists()


def test_tasks_give_their_work_to_dataflow(tmp_path):
    output = tmp_path / "pipeline.yaml"
    options = ("--image=deepfm:1", "--dataset=small", "--data=gs://deepfm/data", "--root=/gcs/deepfm/runs")
    done = CliRunner().invoke(
        cli.app, ["compile", str(output), *options, "--pipeline-root=gs://deepfm/root", *DATAFLOW]
    )
    assert done.exit_code == 0
    spec, *_ = yaml.safe_load_all(output.read_text())
    for node in ("RatingsExampleGen", "StatisticsGen", "Transform", "Evaluator"):
        arguments = spec["deploymentSpec"]["executors"][f"{node}_executor"]["container"]["args"]
        assert {"--runner=DataflowRunner", "--project=deepfm"} <= set(arguments)
