"""REST over real sockets, beside gRPC on the same server: the same answers in TensorFlow Serving's JSON."""

import concurrent.futures
import http.client
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from schema import features
from serving import errors, release, versions, wire
from serving.server.config import ServerConfig
from serving.server.rest import RestApi, RestServer
from serving.server.server import Server

UID, MID, RATING = features.UID.name, features.MID.name, features.RATING.name
CODE = grpc.StatusCode


@pytest.fixture(scope="module")
def server(tmp_path_factory, models, free_port):
    """A server of versions 1 (label `stable`) and 2 (label `canary`) of gRPC and REST."""
    base_path = tmp_path_factory.mktemp("serving") / "deepfm"
    for bias in (1, 2):
        versions.publish(models[bias], base_path, fingerprint=str(bias))
    release.publish(base_path, 1)
    release.canary(base_path, 2, 10.0, "try")
    config = ServerConfig(
        model_config_file=base_path.parent / "models.config",
        port=0,
        rest_api_port=free_port(),
        rest_api_num_threads=2,
        file_system_poll_wait_seconds=0,
        allow_version_labels_for_unavailable_models=True,
    )
    running = Server(config)
    running.start()
    yield running
    running.stop(0)


@pytest.fixture
def ask(server):
    """Send a request to the server; return HTTP's status and the JSON."""
    return _asker(server.config.rest_api_port)


def _asker(port):
    def ask(path, body=None, verb=None):
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=verb)
        try:
            answer = urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, json.load(answer)

    return ask


@pytest.fixture
def by_grpc(server):
    """Answer by gRPC, for comparison."""

    def predict(signature, inputs):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "deepfm"
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(wire.encode(value))
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
        return {name: wire.decode(tensor) for name, tensor in response.outputs.items()}

    return predict


def _plain(array):
    """Return an array as JSON has it."""
    return json.loads(json.dumps(array.tolist(), default=bytes.decode))


def _columns(inputs):
    return {name: _plain(value) for name, value in inputs.items()}


def _rows(inputs):
    columns = _columns(inputs)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_predict_in_rows(ask, by_grpc, movie_catalogue):
    inputs = movie_catalogue.predict_inputs([1, 6040], [1193, 8], [-1, 512])
    body = {"signature_name": "predict", "instances": _rows(inputs)}
    status, answer = ask("/v1/models/deepfm:predict", body)
    assert status == 200
    np.testing.assert_array_equal(np.float32(answer["predictions"]), by_grpc("predict", inputs)[RATING])
    assert np.float32(answer["predictions"]).tolist() == [
        2.9375 + 1 / 1024 + 10 / 2048 + 5 / 4096,
        2 + 25 / 1024 + 6 / 2048 + 512 / 8192,
    ]


def test_predict_in_columns(ask, by_grpc, movie_catalogue):
    inputs = movie_catalogue.rank_inputs(1, [661, 1193, 8], 512)
    body = {"signature_name": "rank", "inputs": _columns(inputs)}
    status, answer = ask("/v1/models/deepfm:predict", body)
    assert (status, list(answer)) == (200, ["outputs"])
    expected = by_grpc("rank", inputs)
    assert answer["outputs"].keys() == expected.keys() == {MID, RATING}
    assert answer["outputs"][MID] == expected[MID].tolist()
    assert sorted(expected[MID]) == [8, 661, 1193]
    of_now = by_grpc("rank", movie_catalogue.rank_inputs(1, [661, 1193, 8]))[RATING]
    assert expected[RATING].tolist() == (of_now + 512 / 8192).tolist()
    np.testing.assert_array_equal(np.float32(answer["outputs"][RATING]), expected[RATING])
    status, answer = ask("/v1/models/deepfm:predict", {"signature_name": "busy", "inputs": {"rounds": 1}})
    assert (status, list(answer)) == (200, ["outputs"])
    assert isinstance(answer["outputs"], float)


def test_large_ids_are_exact(ask, movie_catalogue):
    inputs = movie_catalogue.rank_inputs(1, [8, 8])
    inputs[MID] = np.array([2**62 + 1, 2**53 + 1])
    _, answer = ask("/v1/models/deepfm:predict", {"signature_name": "rank", "inputs": _columns(inputs)})
    assert sorted(answer["outputs"][MID]) == [2**53 + 1, 2**62 + 1]


@pytest.mark.parametrize(
    ("path", "bias"),
    [
        ("/v1/models/deepfm/versions/1", 1),
        ("/v1/models/deepfm/versions/2", 2),
        ("/v1/models/deepfm/labels/stable", 1),
        ("/V1/MODELS/deepfm/labels/can%61ry", 2),
        ("/v1/models/deepfm", 2),
    ],
)
def test_versions_and_labels(ask, movie_catalogue, path, bias):
    body = {"signature_name": "predict", "instances": _rows(movie_catalogue.predict_inputs([0], [8]))}
    (prediction,) = ask(f"{path}:predict", body)[1]["predictions"]
    assert round(prediction) == bias


def _status(version):
    return {
        "version": str(version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


def test_status(ask):
    assert ask("/v1/models/deepfm") == (200, {"model_version_status": [_status(2), _status(1)]})
    for path in ("versions/1", "labels/stable"):
        assert ask(f"/v1/models/deepfm/{path}") == (200, {"model_version_status": [_status(1)]})


def test_metadata(ask):
    status, answer = ask("/v1/models/deepfm/labels/stable/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "deepfm", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert sorted(signatures) == ["busy", "predict", "rank", "read", "serving_default"]
    rounds = signatures["busy"]["inputs"]["rounds"]
    assert rounds["dtype"] == "DT_INT64"
    assert rounds["tensor_shape"] == {"dim": [], "unknown_rank": False}
    assert signatures["predict"]["method_name"] == "tensorflow/serving/predict"
    assert signatures["predict"]["inputs"][UID]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/models/other", None, 404, "Could not find any versions of model other"),
        ("/v1/models/deepfm/versions/7", None, 404, "Could not find version 7 of model deepfm"),
        ("/v1/models/deepfm/labels/x", None, 400, "Unrecognized servable version label: x"),
        ("/v1/models/other/metadata", None, 404, "Servable not found for request: Latest(other)"),
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/v1/models/deepfm/", None, 400, "Malformed request: GET /v1/models/deepfm/"),
        ("/v1/models/deepfm:predict", None, 400, "Malformed request: GET /v1/models/deepfm:predict"),
        ("/v1/models/deepfm:guess", {}, 400, "Malformed request: POST /v1/models/deepfm:guess"),
        ("/v1/models/deepfm", {}, 400, "Malformed request: POST /v1/models/deepfm"),
        ("/v1/models/%ff", None, 400, "Failed to decode: %ff"),
        (
            f"/v1/models/deepfm/versions/{2**63}",
            None,
            400,
            f"Failed to convert version: {2**63} to numeric.",
        ),
        ("/v1/models/other:predict", {}, 404, "Servable not found for request: Latest(other)"),
        (
            "/v1/models/deepfm/versions/7:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(deepfm, 7)",
        ),
        (
            "/v1/models/deepfm/labels/x:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: x",
        ),
        ("/v1/models/deepfm:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("/v1/models/deepfm:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            "/v1/models/deepfm:predict",
            {"signature_name": "x", "instances": [1]},
            400,
            'Serving signature name: "x" not found in signature def',
        ),
        (
            "/v1/models/deepfm:predict",
            {"instances": [1]},
            400,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1 Type: "
            "Number is not of expected type: string",
        ),
        (
            "/v1/models/deepfm:predict",
            {"signature_name": "busy", "inputs": {"rounds": [1]}},
            400,
            "Expects input rounds to have shape [] but [1] is provided",
        ),
        (
            "/v1/models/deepfm:predict",
            {"signature_name": "read", "inputs": {"path": "/nowhere"}},
            404,
            "/nowhere; No such file or directory",
        ),
    ],
)
def test_codes_and_messages(ask, path, body, status, message):
    assert ask(path, body) == (status, {"error": message})


def test_other_verbs_and_paths(ask):
    assert ask("/v1/models/deepfm", verb="DELETE") == (
        400,
        {"error": "Malformed request: DELETE /v1/models/deepfm"},
    )
    assert ask("/v2") == (404, {"error": "Not Found: /v2"})


def test_a_body_has_a_limit(ask):
    status, answer = ask("/v1/models/deepfm:predict", b" " * (wire.MAX_MESSAGE_BYTES + 1))
    assert (status, answer) == (413, {"error": f"The body is larger than {wire.MAX_MESSAGE_BYTES} bytes"})


def test_a_slow_answer_is_given_up(start_server, tmp_path, models, free_port):
    versions.publish(models[1], tmp_path / "serving", fingerprint="one")
    port = free_port()
    start_server(tmp_path / "serving", rest_api_port=port, rest_api_timeout_in_ms=200)
    body = {"signature_name": "busy", "inputs": {"rounds": 20_000}}
    assert _asker(port)("/v1/models/deepfm:predict", body) == (
        504,
        {"error": "Timed out waiting for notification"},
    )


def test_a_request_that_runs_ends_before_the_server(start_server, tmp_path, models, free_port):
    versions.publish(models[1], tmp_path / "serving", fingerprint="one")
    port = free_port()
    server = start_server(tmp_path / "serving", rest_api_port=port)
    ask = _asker(port)

    def busy(rounds):
        return ask("/v1/models/deepfm:predict", {"signature_name": "busy", "inputs": {"rounds": rounds}})

    start = time.monotonic()
    busy(1000)
    rounds = int(1000 * 1.5 / (time.monotonic() - start))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = pool.submit(busy, rounds)
        time.sleep(0.3)
        assert not running.done()
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        kept.request("GET", "/v1/models/deepfm")
        assert kept.getresponse().read()
        stopping = pool.submit(server.stop, 20)
        time.sleep(0.2)
        assert not running.done()
        kept.request("GET", "/v1/models/deepfm")
        answer = kept.getresponse()
        assert (answer.status, json.load(answer)) == (503, {"error": "The server is shutting down"})
        assert running.result()[0] == 200
        stopping.result()
    with pytest.raises(urllib.error.URLError, match="refused"):
        busy(1)


def test_the_port_is_for_one_server(server, tmp_path):
    port = server.config.rest_api_port
    with pytest.raises(errors.ServingError, match=f"port {port} of 127.0.0.1 cannot be taken"):
        Server(ServerConfig(model_base_path=tmp_path, port=0, rest_api_port=port))


class _Scripted(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Scores each example with its one feature."""

    def Classify(self, request, context):  # noqa: N802
        response = classification_pb2.ClassificationResponse()
        for example in request.input.example_list.examples:
            (score,) = example.features.feature["x"].float_list.value
            response.result.classifications.add().classes.add(label="x", score=score)
        return response

    def Regress(self, request, context):  # noqa: N802
        if request.model_spec.signature_name == "late":
            context.abort(CODE.DEADLINE_EXCEEDED, "late")
        if request.model_spec.signature_name == "broken":
            raise ZeroDivisionError
        response = regression_pb2.RegressionResponse()
        for example in request.input.example_list.examples:
            response.result.regressions.add(value=example.features.feature["x"].float_list.value[0])
        return response


@pytest.fixture
def scripted(free_port):
    """A REST server without a model, and what it recorded."""
    port, calls = free_port(), []
    api = RestApi(_Scripted(), None)
    running = RestServer(
        api,
        calls.append,
        host="127.0.0.1",
        port=port,
        threads=1,
        timeout=10,
        pages={"/page": lambda: b"text"},
    )
    running.start()
    yield _asker(port), calls
    running.stop(0)


def test_classify_and_regress(scripted):
    ask, calls = scripted
    body = {"examples": [{"x": 1.5}, {"x": 2.5}]}
    assert ask("/v1/models/m:classify", body) == (200, {"results": [[["x", 1.5]], [["x", 2.5]]]})
    assert ask("/v1/models/m:regress", body) == (200, {"results": [1.5, 2.5]})
    assert ask("/v1/models/m:regress", {**body, "signature_name": "late"}) == (504, {"error": "late"})
    assert ask("/v1/models/m:regress", {**body, "signature_name": "broken"}) == (
        500,
        {"error": "Internal error"},
    )
    assert ask("/v1/models/m:predict", {"instances": [1]}) == (501, {"error": "Method not implemented!"})
    assert [(call.api, call.signature, call.code) for call in calls] == [
        ("Classify", "", CODE.OK),
        ("Regress", "", CODE.OK),
        ("Regress", "late", CODE.DEADLINE_EXCEEDED),
        ("Regress", "broken", CODE.UNKNOWN),
        ("Predict", "", CODE.UNIMPLEMENTED),
    ]


def test_half_a_request_holds_nobody_up(server, ask):
    with socket.create_connection(("127.0.0.1", server.config.rest_api_port)) as connection:
        connection.sendall(b"POST /v1/models/deepfm:predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert ask("/v1/models/deepfm")[0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on the PATH")
def test_curl(server, movie_catalogue):
    """As in TensorFlow Serving's documentation."""

    def curl(*arguments):
        return subprocess.run(
            ["curl", "-s", *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout

    url = f"http://127.0.0.1:{server.config.rest_api_port}/v1/models/deepfm"
    body = {"signature_name": "predict", "instances": _rows(movie_catalogue.predict_inputs([0, 1], [8, 8]))}
    answer = curl("-d", json.dumps(body), "-X", "POST", f"{url}/versions/1:predict")
    assert answer.startswith('{\n    "predictions": [')
    assert answer.endswith("\n    ]\n}")
    assert [round(prediction) for prediction in json.loads(answer)["predictions"]] == [1, 2]
    assert curl(f"{url}/versions/1") == (
        '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n   "status": {\n'
        '    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}'
    )
