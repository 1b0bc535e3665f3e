import concurrent.futures
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from schema import features
from serving import errors, versions, wire
from serving.client import Client, GrpcTransport, Recommendation, Transport

ROOT = Path(__file__).parents[2]
UID, MID, RATING = features.UID.name, features.MID.name, features.RATING.name


class Scripted(Transport):
    """Answers with given outputs, and keeps what it was asked."""

    def __init__(self, **outputs):
        self.outputs = outputs
        self.requests = []
        self.closed = False

    def predict(self, request, timeout):
        self.requests.append((request, timeout))
        response = predict_pb2.PredictResponse()
        for name, value in self.outputs.items():
            response.outputs[name].CopyFrom(wire.encode(value))
        return response

    def close(self):
        self.closed = True


@pytest.fixture
def client(server, movie_catalogue):
    with Client(f"127.0.0.1:{server.port}", movie_catalogue) as connected:
        yield connected


def test_predict(client):
    ratings = client.predict([(1, 1193), (6040, 661), (3, 4)])
    assert ratings.dtype == np.float32
    assert ratings.tolist() == [
        1.9375 + 1 / 1024 + 10 / 2048 + 5 / 4096,
        1 + 5 / 8 + 3 / 16 + 25 / 1024 + 6 / 2048,
        1 + 3 / 4 + 4 / 8 - 1 / 1024 - 1 / 2048,
    ]
    assert client.predict(np.array([[3, 4]])).tolist() == ratings[2:].tolist()


def test_rank_the_catalogue(client):
    best = client.rank(6040, top=2)
    base = 1 + 25 / 1024 + 6 / 2048
    assert best == [
        Recommendation(661, "Misérables, Les (1995)", base + 13 / 16),
        Recommendation(1193, "One Flew Over the Cuckoo's Nest (1975)", base + 3 / 16),
    ]
    assert [entry.mid for entry in client.rank(6040, top=99)] == [661, 1193, 8]


def test_rank_candidates(client):
    assert [(entry.mid, entry.title) for entry in client.rank(1, mids=[8, 9, 661])] == [
        (661, "Misérables, Les (1995)"),
        (9, ""),
        (8, "Eight"),
    ]


def test_without_a_catalogue(server):
    with Client(f"127.0.0.1:{server.port}") as client:
        assert client.predict([(3, 4)]).tolist() == [1 + 3 / 4 + 4 / 8 - 1 / 1024 - 1 / 2048]
        assert [entry.mid for entry in client.rank(3, mids=[1, 2])] == [2, 1]
        with pytest.raises(errors.InvalidRequest, match="give `mids`, or a catalogue"):
            client.rank(3)


def test_nothing_to_ask_is_not_asked():
    transport = Scripted()
    with Client(transport=transport) as client:
        assert client.predict([]).shape == (0,)
        assert client.rank(1, mids=[]) == []
    assert transport.requests == []
    assert transport.closed


def test_what_is_asked(movie_catalogue):
    transport = Scripted(**{RATING: np.array([4.0], np.float32)})
    client = Client(catalogue=movie_catalogue, model_name="other", timeout=1.5, transport=transport)
    assert client.predict([(1, 1193)]).tolist() == [4.0]
    ((request, timeout),) = transport.requests
    assert timeout == 1.5
    assert (request.model_spec.name, request.model_spec.signature_name) == ("other", "predict")
    inputs = {name: wire.decode(tensor) for name, tensor in request.inputs.items()}
    assert sorted(inputs) == sorted(feature.name for feature in features.SERVED)
    assert (inputs[UID].tolist(), inputs[MID].tolist()) == ([1], [1193])
    assert inputs[features.GENRES.name].tolist() == [[b"Drama", b"", b""]]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, f"the answer lacks `{RATING}`; it has \\[\\]"),
        ({RATING: np.array([4.0])}, f"`{RATING}` must be float32\\[1\\], got float64\\[1\\]"),
        ({RATING: np.zeros(2, np.float32)}, f"`{RATING}` must be float32\\[1\\], got float32\\[2\\]"),
    ],
)
def test_unexpected_answers(outputs, message):
    with pytest.raises(errors.UnexpectedAnswer, match=message):
        Client(transport=Scripted(**outputs)).predict([(1, 2)])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda client: client.predict([1, 2]), r"`pairs` must be of shape \[n, 2\], got \[2\]"),
        (lambda client: client.predict([(1.5, 2)]), "`pairs` must hold 64-bit integers"),
        (lambda client: client.predict([(1, 2**63)]), "`pairs` must hold 64-bit integers"),
        (lambda client: client.predict([(1, 2**70)]), "`pairs` must hold 64-bit integers"),
        (lambda client: client.predict([("1", "2")]), "`pairs` must hold 64-bit integers"),
        (lambda client: client.predict([(1, 2), (3,)]), "`pairs` must hold 64-bit integers"),
        (lambda client: client.rank("1", mids=[1]), "`uid` must hold 64-bit integers"),
        (lambda client: client.rank([1, 2], mids=[1]), "`uid` must be one id"),
        (lambda client: client.rank(1, mids=[[1]]), r"`mids` must be of shape \[m\], got \[1, 1\]"),
        (lambda client: client.rank(1, mids=[1], top=0), "`top` must be positive, got 0"),
    ],
)
def test_requests_that_are_not_sent(ask, message):
    transport = Scripted()
    with pytest.raises(errors.InvalidRequest, match=message):
        ask(Client(transport=transport))
    assert transport.requests == []


def test_timeout_must_be_positive():
    with pytest.raises(ValueError, match="`timeout` must be positive, got 0"):
        Client(timeout=0)


def test_no_server():
    with (
        Client("127.0.0.1:1", timeout=10) as client,
        pytest.raises(
            errors.ServerUnavailable, match=r"no server at 127.0.0.1:1; start one with `deepfm serve`"
        ),
    ):
        client.predict([(1, 2)])


def test_unknown_model(server):
    with (
        Client(f"127.0.0.1:{server.port}", model_name="other") as client,
        pytest.raises(errors.ModelNotFound, match=r"does not serve the model; .*Latest\(other\)"),
    ):
        client.predict([(1, 2)])


@pytest.mark.parametrize(
    ("signature", "inputs", "kind", "message"),
    [
        ("x", {}, errors.SignatureNotFound, 'serves a model of another kind .*key "x" not found'),
        ("predict", {}, errors.InvalidRequest, "refused the request .*Missing but required"),
        ("busy", {"rounds": np.array(10_000)}, errors.DeadlineExceeded, "no answer from .* within 0.2 s"),
        ("read", {"path": np.array(b"no://x", object)}, errors.ServingError, "failed with UNIMPLEMENTED"),
        (
            "read",
            {"path": np.array(b"x" * (65 << 20), object)},
            errors.LimitExceeded,
            "ask for less .*larger",
        ),
    ],
)
def test_errors_of_the_server(server, signature, inputs, kind, message):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "deepfm"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(wire.encode(value))
    transport = GrpcTransport(f"127.0.0.1:{server.port}")
    with pytest.raises(errors.ServingError, match=message) as caught:
        transport.predict(request, timeout=0.2 if signature == "busy" else 20)
    assert type(caught.value) is kind
    transport.close()


def test_retries_hide_a_restart(start_server, tmp_path, models):
    versions.publish(models[1], tmp_path, fingerprint="one")
    server = start_server(tmp_path)
    with Client(f"127.0.0.1:{server.port}") as client:
        first = client.predict([(1, 2)]).tolist()
        server.stop()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            second = pool.submit(client.predict, [(1, 2)])
            time.sleep(0.2)
            start_server(tmp_path, port=server.port)
            assert second.result().tolist() == first


def test_imports_nothing_of_the_pipeline():
    code = """
import json, sys
import serving.client
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(json.loads(answer.stdout))
    assert "serving" in imported
    assert imported.isdisjoint(
        {"tfx", "apache_beam", "tensorflow_transform", "tfx_bsl", "pipeline", "components"}
    )
