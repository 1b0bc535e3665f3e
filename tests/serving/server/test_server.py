import concurrent.futures
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from schema import features
from serving import errors, release, versions, wire
from serving.client import Client
from serving.server.config import ServerConfig
from serving.server.server import Server

ROOT = Path(__file__).parents[3]
UID, RATING = features.UID.name, features.RATING.name
State = get_model_status_pb2.ModelVersionStatus.State
Code = grpc.StatusCode


class Stubs:
    """The services of a server, as stubs generated from the public protos."""

    def __init__(self, port):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=wire.MESSAGE_SIZE_OPTIONS)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def predict(self, signature="predict", inputs=None, **spec):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = spec.pop("name", "deepfm")
        request.model_spec.signature_name = signature
        if "version" in spec:
            request.model_spec.version.value = spec["version"]
        if "label" in spec:
            request.model_spec.version_label = spec["label"]
        for name, value in (inputs or {}).items():
            request.inputs[name].CopyFrom(wire.encode(value))
        return self.prediction.Predict(request, timeout=20)

    def status(self, name="deepfm", version=None):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        answer = self.models.GetModelStatus(request, timeout=20)
        return {entry.version: entry for entry in answer.model_version_status}

    def healthy(self):
        status = self.health.Check(health_pb2.HealthCheckRequest(), timeout=20).status
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


@pytest.fixture
def stubs(server):
    made = Stubs(server.port)
    yield made
    made.channel.close()


@pytest.fixture
def pair(movie_catalogue):
    return movie_catalogue.predict_inputs([1], [1193])


def _code_and_message(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_predict_answers_with_values_and_model_spec(stubs, pair):
    response = stubs.predict(inputs=pair)
    assert list(response.outputs[RATING].float_val) == [1.9375 + 1 / 1024 + 10 / 2048 + 5 / 4096]
    assert response.model_spec.name == "deepfm"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "predict"
    assert stubs.predict(inputs=pair, version=1) == response


def test_metadata_has_the_signatures(stubs):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "deepfm"
    response = stubs.prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert response.model_spec.version.value == 1
    inputs = signatures.signature_def["predict"].inputs
    assert sorted(inputs) == sorted(feature.name for feature in features.SERVED)


def test_status_and_health(stubs):
    statuses = stubs.status()
    assert list(statuses) == [1]
    assert statuses[1].state == State.AVAILABLE
    assert statuses[1].status.error_code == 0
    assert list(stubs.status(version=1)) == [1]
    assert stubs.healthy() == "SERVING"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"name": "other"}, Code.NOT_FOUND, "Servable not found for request: Latest(other)"),
        ({"version": 7}, Code.NOT_FOUND, "Servable not found for request: Specific(deepfm, 7)"),
        (
            {"name": "other", "version": 7},
            Code.NOT_FOUND,
            "Servable not found for request: Specific(other, 7)",
        ),
        ({"name": ""}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ({"label": "stable"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
        ({"signature": "x"}, Code.FAILED_PRECONDITION, 'Serving signature key "x" not found.'),
        (
            {"signature": ""},
            Code.INVALID_ARGUMENT,
            f"input size does not match signature: 8!=1 "
            f"len({{{','.join(sorted(feature.name for feature in features.SERVED))}}}) != len({{examples}}). "
            f"Sent extra: {{{','.join(sorted(feature.name for feature in features.SERVED))}}}. "
            "Missing but required: {examples}.",
        ),
        (
            {"inputs": {UID: np.array([1.0], np.float32)}},
            Code.INVALID_ARGUMENT,
            f"Expects input {UID} to be int64 but float32 is provided",
        ),
        (
            {"inputs": {UID: np.array([[1]])}},
            Code.INVALID_ARGUMENT,
            f"Expects input {UID} to have shape [-1] but [1, 1] is provided",
        ),
    ],
)
def test_codes_and_messages(stubs, pair, change, code, message):
    request = {**change, "inputs": pair | change.get("inputs", {})}
    assert _code_and_message(lambda: stubs.predict(**request)) == (code, message)


def test_more_codes(stubs):
    def predict(request):
        return lambda: stubs.prediction.Predict(request)

    assert _code_and_message(predict(predict_pb2.PredictRequest())) == (
        Code.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "deepfm"
    request.inputs["x"].dtype = 8  # DT_COMPLEX64
    assert _code_and_message(predict(request)) == (
        Code.INVALID_ARGUMENT,
        "tensor parsing error: x: tensors of type DT_COMPLEX64 are not supported",
    )
    nowhere = {"path": np.array(b"/nowhere", object)}
    code, message = _code_and_message(lambda: stubs.predict("read", nowhere))
    assert (code, message) == (Code.NOT_FOUND, "/nowhere; No such file or directory")
    assert _code_and_message(lambda: stubs.status("other")) == (
        Code.NOT_FOUND,
        "Could not find any versions of model other",
    )
    assert _code_and_message(lambda: stubs.status(version=7)) == (
        Code.NOT_FOUND,
        "Could not find version 7 of model deepfm",
    )
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "deepfm"
    assert _code_and_message(lambda: stubs.prediction.GetModelMetadata(request)) == (
        Code.INVALID_ARGUMENT,
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    request.metadata_field.append("x")
    assert _code_and_message(lambda: stubs.prediction.GetModelMetadata(request)) == (
        Code.INVALID_ARGUMENT,
        "Metadata field x is not supported",
    )


def test_messages_above_grpcs_own_limit(stubs, movie_catalogue):
    count = 300_000
    inputs = movie_catalogue.predict_inputs(np.zeros(count, int), np.full(count, 8))
    response = stubs.predict(inputs=inputs)
    assert response.ByteSize() > 1_000_000
    assert len(response.outputs[RATING].float_val) == count


def test_a_server_without_a_version_waits_for_one(start_server, tmp_path, models, movie_catalogue):
    server = start_server(tmp_path / "serving", file_system_poll_wait_seconds=0.05)
    stubs = Stubs(server.port)
    assert stubs.healthy() == "NOT_SERVING"
    assert _code_and_message(stubs.predict)[0] == Code.NOT_FOUND
    versions.publish(models[2], tmp_path / "serving", fingerprint="two")
    deadline = time.monotonic() + 20
    while stubs.healthy() != "SERVING":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert stubs.predict(inputs=movie_catalogue.predict_inputs([0], [8])).model_spec.version.value == 1


def test_a_port_is_for_one_server(server, tmp_path):
    with pytest.raises(errors.ServingError, match=f"port {server.port} of 127.0.0.1 is taken"):
        Server(ServerConfig(model_base_path=tmp_path, port=server.port))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_name": ""}, "`model_name` must not be empty"),
        ({"port": 70000}, "`port` must be from 0 to 65535, got 70000"),
        ({"grpc_max_threads": 0}, "`grpc_max_threads` must be positive, got 0"),
        ({"file_system_poll_wait_seconds": -1}, "`file_system_poll_wait_seconds` must not be negative"),
        ({"drain_seconds": -1}, "`drain_seconds` must not be negative, got -1"),
        ({"model_base_path": None}, "give either `model_base_path` or `model_config_file`"),
        (
            {"model_config_file": Path("models.config")},
            "give either `model_base_path` or `model_config_file`",
        ),
    ],
)
def test_config(settings, message):
    with pytest.raises(ValueError, match=message):
        ServerConfig(**{"model_base_path": Path("serving"), **settings})


def _wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_config_file_is_read_again(start_server, tmp_path, models, movie_catalogue):
    base_path = tmp_path / "serving" / "deepfm"
    inputs = movie_catalogue.predict_inputs([0], [8])
    for bias in (1, 2):
        versions.publish(models[bias], base_path, fingerprint=str(bias))
    file = tmp_path / "models.config"

    def write(loaded, labels):
        file.write_text(
            text_format.MessageToString(release.server_config("deepfm", base_path, loaded, labels))
        )

    write([1], {"stable": 1})
    server = start_server(
        None,
        model_config_file=file,
        model_config_file_poll_wait_seconds=0.05,
        file_system_poll_wait_seconds=0.0,
        allow_version_labels_for_unavailable_models=True,
    )
    stubs = Stubs(server.port)

    def answered(**spec):
        response = stubs.predict(inputs=inputs, **spec)
        assert round(response.outputs[RATING].float_val[0]) == response.model_spec.version.value
        return response.model_spec.version.value

    assert answered() == answered(label="stable") == 1
    write([2], {"stable": 2})
    time.sleep(0.3)
    assert answered(label="stable") == 1  # refused, at every reading
    assert _code_and_message(lambda: answered(version=2))[0] == Code.NOT_FOUND
    write([1, 2], {"stable": 1})
    _wait_until(lambda: server.core.models["deepfm"].available == [1, 2])
    write([2], {"stable": 2})
    _wait_until(lambda: server.core.models["deepfm"].available == [2])
    assert answered(label="stable") == 2
    file.write_text("model_config_list {")
    time.sleep(0.2)
    assert answered(label="stable") == 2


def test_a_configuration_comes_by_request_too(start_server, tmp_path, models, movie_catalogue):
    for bias in (1, 2):
        versions.publish(models[bias], tmp_path / "serving", fingerprint=str(bias))
    server = start_server(tmp_path / "serving", allow_version_labels_for_unavailable_models=True)
    stubs = Stubs(server.port)
    inputs = movie_catalogue.predict_inputs([0], [8])

    def reload(text):
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(text, request.config)
        return stubs.models.HandleReloadConfigRequest(request, timeout=20)

    def model(name, rest=""):
        return (
            f'config {{ name: "{name}" base_path: "{tmp_path}/serving" model_platform: "tensorflow" {rest} }}'
        )

    policy = "model_version_policy { specific { versions: 1 } }"
    labels = 'version_labels { key: "old" value: 1 }'
    assert (
        reload(f"model_config_list {{ {model('a', policy + labels)} {model('b')} }}").status.error_code == 0
    )
    assert stubs.predict(inputs=inputs, name="a", label="old").model_spec.version.value == 1
    assert stubs.predict(inputs=inputs, name="b").model_spec.version.value == 2
    assert _code_and_message(lambda: stubs.predict(inputs=inputs)) == (
        Code.NOT_FOUND,
        "Servable not found for request: Latest(deepfm)",
    )
    for text, code, message in (
        (
            "",
            Code.INVALID_ARGUMENT,
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        ),
        (
            f"model_config_list {{ {model('a')} {model('a')} }}",
            Code.INVALID_ARGUMENT,
            "Illegal to list model a multiple times in config list",
        ),
        (
            'model_config_list { config { name: "a" base_path: "here" model_platform: "tensorflow" } }',
            Code.INVALID_ARGUMENT,
            "Expected model a to have an absolute path or URI; got base_path()=here",
        ),
        (
            'model_config_list { config { name: "a" model_platform: "tensorflow" } }',
            Code.INVALID_ARGUMENT,
            "Expected model a to have an absolute path or URI; got base_path()=",
        ),
    ):
        assert _code_and_message(lambda text=text: reload(text)) == (code, message)
    assert stubs.predict(inputs=inputs, name="b").model_spec.version.value == 2
    wrong = 'version_labels { key: "old" value: 7 }'
    assert _code_and_message(lambda: reload(f"model_config_list {{ {model('a', wrong)} }}")) == (
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 7 of model a, which is not currently available for inference",
    )


def test_the_life_of_a_server(tmp_path, models, broken_model, movie_catalogue):
    """In a process of its own: serve, switch under load, pass over a broken version, drain and end."""
    base_path = tmp_path / "serving"
    versions.publish(models[1], base_path, fingerprint="one")
    command = [
        sys.executable, "-m", "serving.server", "--port=0", "--grpc_max_threads=4",
        f"--model_base_path={base_path}", "--file_system_poll_wait_seconds=0.05",
    ]  # fmt: skip
    log = (tmp_path / "log").open("w+")
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"PYTHONPATH": ""}
    ) as process:
        try:
            told = process.stdout.readline()
            assert "serving deepfm version 1 at 127.0.0.1:" in told, (tmp_path / "log").read_text()
            address = told.split()[-1]
            stubs = Stubs(address.rpartition(":")[2])
            _switch_under_load(address, stubs, base_path, models, movie_catalogue)
            _pass_over_a_broken_version(stubs, base_path, broken_model, movie_catalogue)
            _drain(process, stubs)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "draining" in (tmp_path / "log").read_text()
    with Client(address, movie_catalogue, timeout=5) as client, pytest.raises(errors.ServerUnavailable):
        client.predict([(1, 8)])


def _switch_under_load(address, stubs, base_path, models, movie_catalogue):
    stop = threading.Event()

    def ask():
        biases = []
        with Client(address, movie_catalogue) as client:
            while not stop.is_set():
                biases.append(round(float(client.predict([(0, 8)])[0])))
        return biases

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for bias in (2, 3):
                version = versions.publish(models[bias], base_path, fingerprint=f"bias {bias}")
                _wait_for(stubs, version, State.AVAILABLE)
                time.sleep(0.1)
        finally:
            stop.set()
        answers = [future.result() for future in asking]
    for biases in answers:
        assert [bias for bias, _ in itertools.groupby(biases)] == [1, 2, 3]
    _wait_for(stubs, 2, State.END)
    assert {version: entry.state for version, entry in stubs.status().items()} == {
        1: State.END,
        2: State.END,
        3: State.AVAILABLE,
    }


def _pass_over_a_broken_version(stubs, base_path, broken_model, movie_catalogue):
    version = versions.publish(broken_model, base_path, fingerprint="broken")
    entry = _wait_for(stubs, version, State.END)
    assert entry.status.error_code
    assert "cannot load" in entry.status.error_message
    answer = stubs.predict(inputs=movie_catalogue.predict_inputs([0], [8]))
    assert answer.model_spec.version.value == 3
    assert stubs.healthy() == "SERVING"


def _drain(process, stubs):
    """A request that runs when SIGTERM comes is answered; one that comes after it is not."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        start = time.monotonic()
        stubs.predict("busy", {"rounds": np.array(1000)})
        rounds = int(1000 * 2.5 / (time.monotonic() - start))
        running = pool.submit(stubs.predict, "busy", {"rounds": np.array(rounds)})
        time.sleep(0.3)
        assert not running.done()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert not running.done()
        assert (
            _code_and_message(lambda: stubs.predict("busy", {"rounds": np.array(1)}))[0] == Code.UNAVAILABLE
        )
        assert list(running.result().outputs) == [RATING]
    assert process.wait(20) == 0


def _wait_for(stubs, version, state):
    deadline = time.monotonic() + 20
    while True:
        entry = stubs.status().get(version)
        if entry is not None and entry.state == state:
            return entry
        assert time.monotonic() < deadline, stubs.status()
        time.sleep(0.02)
