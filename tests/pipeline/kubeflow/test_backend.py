"""The harness with tasks of a few lines: parameters, attempts, time, cache and artifacts."""

import json

import pytest
import yaml

MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}
# Writes its first argument's text as a file of the output, with an empty folder beside it, and a property.
WRITE = """
import json, pathlib, sys
executor_input, path, text = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
(path / "empty").mkdir(parents=True)
(path / "file").write_text(text)
output = pathlib.Path(executor_input["outputs"]["outputFile"])
output.parent.mkdir(parents=True, exist_ok=True)
model = executor_input["outputs"]["artifacts"]["model"]["artifacts"][0]
report = {"artifacts": {"model": {"artifacts": [{"uri": model["uri"], "metadata": {"length": len(text)}}]}}}
output.write_text(json.dumps(report))
"""
# Prints the files of its input, and the input as it came.
READ = """
import pathlib, sys
print(sorted(str(path.relative_to(sys.argv[2])) for path in pathlib.Path(sys.argv[2]).rglob("*")))
print(sys.argv[1])
"""


@pytest.fixture
def package(tmp_path):
    """Write a package of a task that writes and one that reads; return its file."""

    def write(code=WRITE, *, cache=False, retries=0, seconds="60", parameter=None, condition=None):
        definition = {"parameterType": "STRING"} | ({"defaultValue": parameter} if parameter else {})
        read = ["-c", READ, "{{$}}", "{{$.inputs.artifacts['model'].path}}"]
        spec = {
            "schemaVersion": "2.1.0",
            "pipelineInfo": {"name": "tiny"},
            "root": {
                "inputDefinitions": {"parameters": {"text": definition}},
                "dag": {
                    "tasks": {
                        "Read": {
                            "componentRef": {"name": "Read"},
                            "inputs": {
                                "artifacts": {
                                    "model": {
                                        "taskOutputArtifact": {
                                            "producerTask": "Write",
                                            "outputArtifactKey": "model",
                                        }
                                    }
                                }
                            },
                            "cachingOptions": {"enableCache": cache},
                        },
                        "Write": {
                            "componentRef": {"name": "Write"},
                            "inputs": {"parameters": {"text": {"componentInputParameter": "text"}}},
                            "cachingOptions": {"enableCache": cache},
                            "retryPolicy": {"maxRetryCount": retries},
                        },
                    }
                },
            },
            "components": {
                "Read": {
                    "executorLabel": "read",
                    "inputDefinitions": {"artifacts": {"model": {"artifactType": MODEL}}},
                },
                "Write": {
                    "executorLabel": "write",
                    "inputDefinitions": {"parameters": {"text": {"parameterType": "STRING"}}},
                    "outputDefinitions": {"artifacts": {"model": {"artifactType": MODEL}}},
                },
            },
            "deploymentSpec": {
                "executors": {
                    "read": {"container": {"command": ["python"], "args": read}},
                    "write": {
                        "container": {
                            "command": ["python"],
                            "args": [
                                *("-c", code, "{{$}}", "{{$.outputs.artifacts['model'].path}}"),
                                "{{$.inputs.parameters['text']}}",
                            ],
                        }
                    },
                }
            },
        }
        if condition:
            spec["root"]["dag"]["tasks"]["Read"]["triggerPolicy"] = {"condition": condition}
        platform = {"deploymentSpec": {"executors": {"write": {"activeDeadlineSeconds": seconds}}}}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump_all([spec, {"platforms": {"kubernetes": platform}}]))
        return path

    return write


@pytest.fixture
def backend(backends, tmp_path):
    return backends.OpenSource(tmp_path / "backend")


def test_an_artifact_goes_through_the_store_and_loses_its_type(backend, package):
    tasks = backend.run(package(), {"text": "hello"})
    assert list(tasks) == ["Write", "Read"]
    files, executor_input = tasks["Read"].log.splitlines()
    assert files == "['file']"
    (model,) = json.loads(executor_input)["inputs"]["artifacts"]["model"]["artifacts"]
    assert model.pop("uri").startswith("minio://mlpipeline/v2/artifacts/tiny/")
    assert int(model.pop("name")) > 0
    assert model == {
        "type": {"instanceSchema": ""},
        "metadata": {"display_name": "model", "length": 5.0},
    }


def test_vertex_ai_says_the_type(backends, package, tmp_path):
    backend = backends.Vertex(tmp_path / "vertex")
    tasks = backend.run(package(), {"text": "hello"}, pipeline_root=str(tmp_path / "root"))
    _, executor_input = tasks["Read"].log.splitlines()
    (model,) = json.loads(executor_input)["inputs"]["artifacts"]["model"]["artifacts"]
    assert model["type"] == MODEL


def test_a_parameter_has_its_value_or_its_default_or_stops_the_run(backends, backend, package):
    assert backend.run(package(parameter="hello"))["Write"].metadata("model")["length"] == 5.0
    assert backend.run(package(parameter="hello"), {"text": "ab"})["Write"].metadata("model")["length"] == 2.0
    with pytest.raises(backends.RefusedError, match="does not have input parameter text"):
        backend.run(package())
    with pytest.raises(backends.RefusedError, match=r"unknown parameters \['texts'\]"):
        backend.run(package(parameter="hello"), {"texts": "ab"})
    with pytest.raises(backends.RefusedError, match="text type mismatch"):
        backend.run(package(), {"text": 3})


def test_the_cache_knows_parameters_and_artifacts(backend, package):
    def states(text):
        return [task.state for task in backend.run(package(cache=True), {"text": text}).values()]

    assert states("hello") == ["succeeded", "succeeded"]
    assert states("hello") == ["cached", "cached"]
    assert states("other") == ["succeeded", "succeeded"]
    assert [task.state for task in backend.run(package(), {"text": "hello"}).values()] == ["succeeded"] * 2


@pytest.mark.parametrize(("text", "state"), [("hello", "skipped"), ("hi", "succeeded")])
def test_a_task_whose_condition_does_not_hold_is_skipped(backend, package, text, state):
    condition = "!(inputs.artifacts['model'].artifacts[0].metadata['length'] > 2.0)"
    assert backend.run(package(condition=condition), {"text": text})["Read"].state == state


def test_each_attempt_begins_in_a_new_container(backends, backend, package, tmp_path):
    """The second attempt would fail if the output file of the first one were still there."""
    count = tmp_path / "count"
    fails_once = f"""{WRITE}
count = pathlib.Path({str(count)!r})
count.write_text(count.read_text() + "x" if count.exists() else "x")
sys.exit(len(count.read_text()) < 2)
"""
    with pytest.raises(backends.TaskFailedError, match="Write failed after 1 attempts"):
        backend.run(package(fails_once), {"text": "hello"})
    count.unlink()
    assert backend.run(package(fails_once, retries=2), {"text": "hello"})["Write"].attempts == 2


def test_an_attempt_that_takes_too_long_is_killed(backends, backend, package):
    with pytest.raises(backends.TaskFailedError, match="Write failed after 2 attempts"):
        backend.run(package("import time; time.sleep(600)", retries=1, seconds="0.5"), {"text": "hello"})


def test_a_store_that_the_launcher_does_not_know_is_refused(backends, backend, package):
    with pytest.raises(backends.RefusedError, match="unsupported storage scheme"):
        backend.run(package(), {"text": "hello"}, pipeline_root="hdfs://bucket")
