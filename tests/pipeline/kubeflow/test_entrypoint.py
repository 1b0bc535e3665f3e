import json

import pytest
import s3fs
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import ComponentInputsSpec, ExecutorInput

from components.ratings_example_gen.config import ExampleGenConfig
from pipeline.kubeflow import entrypoint
from pipeline.kubeflow.driver import run_driver
from pipeline.kubeflow.entrypoint import (
    leave_out_foreign_outputs,
    report_addresses,
    restore_types,
    use_local_copies,
)

MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}


def _executor_input(**model):
    return json_format.ParseDict(
        {
            "inputs": {"artifacts": {"model": {"artifacts": [{"name": "7", "uri": "minio://b/m", **model}]}}},
            "outputs": {
                "artifacts": {"report": {"artifacts": [{"uri": "minio://b/r", "type": MODEL}]}},
                "outputFile": "/tmp/kfp_outputs/output_metadata.json",
            },
        },
        ExecutorInput(),
    )


@pytest.fixture
def inputs_spec():
    return json_format.ParseDict({"artifacts": {"model": {"artifactType": MODEL}}}, ComponentInputsSpec())


@pytest.mark.parametrize("given", [{}, {"type": {}}, {"type": {"instanceSchema": ""}}])
def test_a_type_that_is_missing_is_restored(inputs_spec, given):
    executor_input = _executor_input(**given)
    restore_types(executor_input, inputs_spec)
    assert executor_input == _executor_input(type=MODEL)


@pytest.mark.parametrize("given", [{"schemaTitle": "tfx.Model"}, {"instanceSchema": "title: tfx.Other\n"}])
def test_a_type_that_is_given_stays(inputs_spec, given):
    executor_input = _executor_input(type=given)
    restore_types(executor_input, inputs_spec)
    assert executor_input == _executor_input(type=given)


def test_the_log_is_left_to_the_back_end():
    executor_input = _executor_input()
    log = executor_input.outputs.artifacts["executor-logs"].artifacts.add(uri="minio://b/log")
    log.type.schema_title = "system.Artifact"
    leave_out_foreign_outputs(executor_input, ["report"])
    assert executor_input == _executor_input()


def test_artifacts_are_used_where_the_back_end_copies_them(tmp_path):
    executor_input = _executor_input()
    report = tmp_path / "minio" / "b" / "r"
    addresses = use_local_copies(executor_input, {"model": "/minio/b/m"}, {"report": str(report)})
    assert addresses == {"/minio/b/m": "minio://b/m", str(report): "minio://b/r"}
    assert executor_input.inputs.artifacts["model"].artifacts[0].uri == "/minio/b/m"
    assert executor_input.outputs.artifacts["report"].artifacts[0].uri == str(report)
    assert report.is_dir()


def test_a_back_end_that_copies_nothing_is_left_alone(tmp_path):
    executor_input = _executor_input()
    executor_input.outputs.output_file = "gs://bucket/task/executor_output.json"
    before = ExecutorInput()
    before.CopyFrom(executor_input)
    assert use_local_copies(executor_input, {"model": "/gcs/b/m"}, {"report": str(tmp_path / "r")}) == {}
    assert executor_input == before
    assert list(tmp_path.iterdir()) == []


def test_the_report_names_true_addresses(tmp_path):
    path = tmp_path / "output.json"
    reported = {"uri": "/minio/b/r", "metadata": {"model": "/minio/b/m", "blessed": 1.0}}
    path.write_text(json.dumps({"artifacts": {"report": {"artifacts": [reported]}}}))
    report_addresses(str(path), {"/minio/b/m": "minio://b/m", "/minio/b/r": "minio://b/r"})
    true = {"uri": "minio://b/r", "metadata": {"model": "minio://b/m", "blessed": 1.0}}
    assert json.loads(path.read_text()) == {"artifacts": {"report": {"artifacts": [true]}}}


def test_a_task_without_the_key_of_its_store_says_what_to_do(tmp_path, monkeypatch):
    """As where a run chooses s3:// of a package that was compiled with a folder."""
    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    given = {
        "input_base": "s3://ratings/days",
        "example_gen_config": ExampleGenConfig().to_json(),
        "run_date": "",
        "lag_days": 0,
        "window_days": 0,
    }
    outputs = {"outputFile": str(tmp_path / "outputs" / "output.json")}
    days = {name: {"parameterType": "NUMBER_INTEGER"} for name in ("lag_days", "window_days")}
    arguments = {
        "executor_class_path": "components.ratings_example_gen.executor.Executor",
        "json_serialized_invocation_args": json.dumps(
            {"inputs": {"parameterValues": given}, "outputs": outputs}
        ),
        "json_serialized_inputs_spec_args": json.dumps({"parameters": days}),
        "driver_class_path": "components.ratings_example_gen.driver.Driver",
    }
    monkeypatch.setattr("sys.argv", ["entrypoint", *(f"--{name}={text}" for name, text in arguments.items())])
    with pytest.raises(SystemExit) as ended:
        entrypoint.main()
    s3fs.S3FileSystem.clear_instance_cache()
    assert ended.value.code == (
        "this task has no key for s3://: compile the package with an s3:// address as --data, and make "
        "the secret with `deepfm manifests --endpoint HOST`"
    )


def test_a_driver_s_findings_go_to_the_output_file(tmp_path):
    for name in ("ratings.dat", "movies.dat", "users.dat"):
        (tmp_path / name).write_text("1::1::5::1\n")
    executor_input = ExecutorInput()
    executor_input.inputs.parameter_values["input_base"].string_value = str(tmp_path)
    executor_input.inputs.parameter_values["example_gen_config"].string_value = ExampleGenConfig().to_json()
    executor_input.inputs.parameter_values["run_date"].string_value = ""
    for name in ("lag_days", "window_days"):
        executor_input.inputs.parameter_values[name].number_value = 0
    executor_input.outputs.output_file = str(tmp_path / "outputs" / "output.json")
    spec = json_format.ParseDict(
        {
            "parameters": {
                "input_base": {"parameterType": "STRING"},
                "example_gen_config": {"parameterType": "STRING"},
                "run_date": {"parameterType": "STRING"},
                "lag_days": {"parameterType": "NUMBER_INTEGER"},
                "window_days": {"parameterType": "NUMBER_INTEGER"},
            }
        },
        ComponentInputsSpec(),
    )
    run_driver("components.ratings_example_gen.driver.Driver", executor_input, spec)
    written = json.loads((tmp_path / "outputs" / "output.json").read_text())
    found = written["parameterValues"]
    assert set(found) == {"inputs", "input_fingerprint"}
    assert len(found["input_fingerprint"]) == 64
    assert "ratings.dat" in found["inputs"]


@pytest.mark.parametrize("runner", ["DataflowRunner", "PortableRunner"])
def test_workers_that_do_not_see_the_copies_are_refused(tmp_path, inputs_spec, runner):
    executor_input = _executor_input()
    executor_input.outputs.output_file = str(tmp_path / "output_metadata.json")
    arguments = [
        "--executor_class_path=components.transform.executor.Executor",
        f"--json_serialized_invocation_args={json_format.MessageToJson(executor_input)}",
        f"--json_serialized_inputs_spec_args={json_format.MessageToJson(inputs_spec)}",
        f"--output_path=report={tmp_path / 'report'}",
        f"--runner={runner}",
    ]
    with pytest.raises(ValueError, match=f"workers of {runner} do not see them: compile with --beam local"):
        entrypoint.run(arguments)
