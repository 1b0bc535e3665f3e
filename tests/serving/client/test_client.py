"""What both clients do alike: each test runs with `Client` and with `AsyncClient`."""

import concurrent.futures
import re
import socket
import threading
import time

import grpc
import numpy as np
import pytest

from schema import features
from serving import errors, release, versions, wire
from serving.catalogue import Catalogue
from serving.client import CanaryRouter, Recommendation, channel, logic
from serving.protos import predict_pb2, prediction_service_pb2_grpc

UID, MID, RATING = features.UID.name, features.MID.name, features.RATING.name
TIMESTAMP = features.TIMESTAMP.name


@pytest.fixture(params=[False, True], ids=["tensors", "examples"])
def client(request, server, movie_catalogue, make_client):
    with make_client(
        target=f"127.0.0.1:{server.port}", catalogue=movie_catalogue, examples=request.param
    ) as connected:
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


def test_the_moment_of_a_question(client):
    pairs, (known, other) = [(1, 1193), (6040, 661)], client.predict([(1, 1193), (6040, 661)]).tolist()
    assert client.predict(pairs, [64, 512]).tolist() == [known + 64 / 8192, other + 512 / 8192]
    assert client.predict(pairs, 64).tolist() == [known + 64 / 8192, other + 64 / 8192]
    assert client.predict(pairs, features.MISSING_INT).tolist() == [known, other]
    assert [movie.rating for movie in client.rank(6040, [661, 8], timestamp=512)] == [
        movie.rating + 512 / 8192 for movie in client.rank(6040, [661, 8])
    ]


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


@pytest.mark.parametrize("exclude", [[661, 5], (5, 661), {661}, np.array([661, 661])])
def test_excluded_movies_are_not_returned(client, exclude):
    assert [entry.mid for entry in client.rank(6040, exclude=exclude)] == [1193, 8]
    assert [entry.mid for entry in client.rank(6040, [9, 661, 8], top=1, exclude=exclude)] == [9]


def test_parts_give_the_answer_of_the_whole(client, monkeypatch):
    pairs = [(uid, mid) for uid in (1, 3, 6040) for mid in (8, 9, 661, 1193, 16)]
    moments = range(0, 960, 64)
    mids = [8, 9, 16, 661, 24, 1193, 17]
    ratings, best = client.predict(pairs, moments).tolist(), client.rank(1, mids)
    assert [entry.mid for entry in best] == [661, 1193, 9, 17, 8, 16, 24]
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 2)
    assert client.predict(pairs, moments).tolist() == ratings
    assert client.rank(1, mids) == best
    assert client.rank(1, mids, top=3) == best[:3]


def test_without_a_catalogue(server, make_client):
    with make_client(target=f"127.0.0.1:{server.port}") as client:
        assert client.predict([(3, 4)]).tolist() == [1 + 3 / 4 + 4 / 8 - 1 / 1024 - 1 / 2048]
        assert [entry.mid for entry in client.rank(3, mids=[1, 2])] == [2, 1]
        with pytest.raises(errors.InvalidRequest, match="give `mids`, or a catalogue"):
            client.rank(3)


def test_nothing_to_ask_is_not_asked(make_client, scripted, movie_catalogue):
    script = scripted()
    with make_client(script, catalogue=movie_catalogue) as client:
        assert client.predict([]).shape == (0,)
        assert client.rank(1, mids=[]) == []
        assert client.rank(1, exclude=[661, 8, 1193]) == []
    assert script.requests == []
    assert script.closed


def test_what_is_asked(make_client, scripted, movie_catalogue):
    script = scripted({RATING: np.array([4.0], np.float32)})
    client = make_client(script, catalogue=movie_catalogue, model_name="other", timeout=1.5)
    assert client.predict([(1, 1193)], 1_000_000_000).tolist() == [4.0]
    (request,) = script.requests
    assert script.timeouts == [1.5]
    assert script.specs == [("other", "predict", "")]
    assert request.model_spec.WhichOneof("version_choice") is None
    inputs = {name: wire.decode(tensor) for name, tensor in request.inputs.items()}
    assert sorted(inputs) == sorted(feature.name for feature in features.SERVED)
    assert inputs[TIMESTAMP].tolist() == [1_000_000_000]
    assert (inputs[UID].tolist(), inputs[MID].tolist()) == ([1], [1193])
    assert inputs[features.GENRES.name].tolist() == [[b"Drama", b"", b""]]


def test_without_a_moment_the_question_is_about_now(make_client, scripted, monkeypatch):
    monkeypatch.setattr("serving.client.logic.time.time", lambda: 1_234_567_890.9)
    script = scripted()
    client = make_client(script)
    client.predict([(1, 2), (3, 4)])
    client.rank(1, [2, 3])
    assert [wire.decode(request.inputs[TIMESTAMP]).tolist() for request in script.requests] == [
        [1_234_567_890, 1_234_567_890],
        [1_234_567_890],
    ]


@pytest.fixture
def both_versions(tmp_path, start_server, models, older_model):
    """A server of version 1, older than timestamps in requests, and of version 2, one star above."""
    for folder, fingerprint in ((older_model, "one"), (models[2], "two")):
        versions.publish(folder, tmp_path / "deepfm", fingerprint=fingerprint)
    release.promote(tmp_path / "deepfm", 1, "first")
    release.canary(tmp_path / "deepfm", 2, 50, "takes timestamps")
    return start_server(
        None,
        model_config_file=release.write_models_config(tmp_path / "deepfm"),
        allow_version_labels_for_unavailable_models=True,
    )


def test_a_version_that_takes_no_timestamp_is_asked_without_one(both_versions, movie_catalogue, make_client):
    target = f"127.0.0.1:{both_versions.port}"
    with make_client(target=target, catalogue=movie_catalogue, router=_OddUsersTryTheCanary()) as client:
        # User 1 asks the canary, user 6040 the older version, in one call.
        assert client.predict([(1, 8), (6040, 8)], 64).tolist() == [
            2 + 1 / 4 + 1 / 2 + 1 / 1024 + 10 / 2048 + 5 / 4096 + 64 / 8192,
            1 + 25 / 1024 + 6 / 2048,
        ]
        assert [movie.rating for movie in client.rank(6040, [8], timestamp=64)] == [1 + 25 / 1024 + 6 / 2048]
        assert client.answered == {1, 2}


def test_another_refusal_is_not_asked_again(make_client, scripted, monkeypatch):
    script = scripted()

    def refuse(request, timeout):
        script.requests.append(request)
        raise errors.InvalidRequest("Sent extra: {}. Missing but required: {timestamp}.")

    monkeypatch.setattr(script, "answer", refuse)
    with pytest.raises(errors.InvalidRequest, match="Missing but required"):
        make_client(script).predict([(1, 2)])
    assert len(script.requests) == 1


def test_a_label_may_move_back_between_two_requests(make_client, scripted, monkeypatch):
    script = scripted({RATING: np.array([4.0], np.float32)})
    answer = script.answer
    refusals = ["Sent extra: {timestamp}.", "Missing but required: {timestamp}."]

    def refuse(request, timeout):
        if len(script.requests) == len(refusals):
            return answer(request, timeout)
        script.requests.append(request)
        raise errors.InvalidRequest(refusals[len(script.requests) - 1])

    monkeypatch.setattr(script, "answer", refuse)
    assert make_client(script).predict([(1, 2)], 64).tolist() == [4.0]
    moments = [request.inputs.get(TIMESTAMP) for request in script.requests]
    assert moments[1] is None
    assert [wire.decode(moments[place]).tolist() for place in (0, 2)] == [[64], [64]]


def test_many_rows_are_asked_in_parts(make_client, scripted, monkeypatch):
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 3)
    script = scripted()
    client = make_client(script)
    ratings = client.predict([(number, 10 + number) for number in range(7)])
    assert script.asked == [([0, 1, 2], [10, 11, 12]), ([3, 4, 5], [13, 14, 15]), ([6], [16])]
    assert ratings.tolist() == [0.5, 1.75, 2.0, 3.25, 4.5, 5.75, 6.0]
    assert set(script.specs) == {("deepfm", "predict", "")}


def test_ranked_parts_are_merged_before_the_top_is_taken(make_client, scripted, monkeypatch):
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 3)
    mids = [4, 3, 5, 7, 0, 2, 11, 9, 3]
    script = scripted()
    client = make_client(script)
    best = [(entry.mid, entry.rating) for entry in client.rank(2, mids, top=7, exclude=[0])]
    assert best == [(3, 2.75), (7, 2.75), (11, 2.75), (3, 2.75), (2, 2.5), (5, 2.25), (9, 2.25)]
    assert script.asked == [([2], [4, 3, 5]), ([2], [7, 2, 11]), ([2], [9, 3])]
    by_examples = make_client(scripted(), examples=True)
    assert [(entry.mid, entry.rating) for entry in by_examples.rank(2, mids, top=7, exclude=[0])] == best


def test_ranked_parts_are_merged_by_score(make_client, scripted, monkeypatch):
    mids = [4, 3, 5, 7, 0, 2, 11, 9, 3]
    script = scripted()
    script.scored = True
    client = make_client(script)
    best = [(entry.mid, entry.rating) for entry in client.rank(2, mids)]
    assert best == [
        (4, 2.0), (9, 2.25), (3, 2.75), (3, 2.75), (7, 2.75), (2, 2.5), (11, 2.75), (5, 2.25), (0, 2.0)
    ]  # fmt: skip
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 3)
    assert [(entry.mid, entry.rating) for entry in client.rank(2, mids)] == best
    assert [entry.mid for entry in client.rank(2, mids, top=2)] == [4, 9]


def test_parts_of_which_one_has_no_score_are_merged_by_rating(make_client, scripted, monkeypatch):
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 3)
    script = scripted()
    answer = script.answer

    def change(request, timeout):
        script.scored = not script.scored  # as while another version takes over
        return answer(request, timeout)

    monkeypatch.setattr(script, "answer", change)
    ranked = make_client(script).rank(2, [4, 3, 5, 7, 0, 2])
    assert [entry.rating for entry in ranked] == [2.75, 2.75, 2.5, 2.25, 2.0, 2.0]


def test_a_full_request_is_far_below_the_limit(make_client, scripted, movie_catalogue):
    script = scripted()
    rows = 2 * logic.ROWS_PER_REQUEST + 1
    pairs = np.stack([np.full(rows, 2**62), np.full(rows, 661)], axis=1)
    for examples in (False, True):
        client = make_client(script, catalogue=movie_catalogue, examples=examples)
        assert client.predict(pairs).shape == (rows,)
    sizes = [len(uids) for uids, _ in script.asked]
    assert sizes == 2 * [logic.ROWS_PER_REQUEST, logic.ROWS_PER_REQUEST, 1]
    assert max(request.ByteSize() for request in script.requests) < wire.MAX_MESSAGE_BYTES / 8


class _SlowScript:
    """Takes 50 ms for each answer of a script."""

    def __init__(self, script):
        self.script = script

    def answer(self, request, timeout):
        time.sleep(0.05)
        return self.script.answer(request, timeout)


def test_the_timeout_is_of_all_parts_together(make_client, scripted, monkeypatch):
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 1)
    script = scripted()
    client = make_client(_SlowScript(script), timeout=0.22)
    with pytest.raises(errors.DeadlineExceeded, match=r"^not all was asked within 0.22 s; allow more time"):
        client.predict([(1, mid) for mid in range(100)])
    assert 1 <= len(script.requests) <= 8
    client = make_client(_SlowScript(script), timeout=60)
    script.timeouts.clear()
    client.predict([(1, mid) for mid in range(logic.REQUESTS_AT_ONCE + 1)])
    assert script.timeouts[-1] <= script.timeouts[0] - 0.05 * logic.REQUESTS_AT_ONCE


class _OddUsersTryTheCanary:
    def version(self, uid):
        return "canary" if uid % 2 else "stable"


class _OneByLabelOneByNumber:
    def version(self, uid):
        return {1: "canary", 3: 7}.get(uid)


def test_a_router_chooses_the_version_of_each_user(make_client, scripted, monkeypatch):
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 2)
    script = scripted()
    client = make_client(script, router=_OddUsersTryTheCanary())
    ratings = client.predict([(2, 0), (3, 1), (2, 2), (1, 3), (4, 0), (3, 2)])
    assert ratings.tolist() == [2.0, 103.25, 2.5, 101.75, 4.0, 103.5]
    assert sorted(zip(script.asked, [label for _, _, label in script.specs], strict=True)) == [
        (([2, 2], [0, 2]), "stable"),
        (([3], [2]), "canary"),
        (([3, 1], [1, 3]), "canary"),
        (([4], [0]), "stable"),
    ]
    script.requests.clear()
    assert [entry.rating for entry in client.rank(3, [1, 2, 3])] == [103.75, 103.5, 103.25]
    assert [entry.rating for entry in client.rank(2, [1, 2])] == [2.5, 2.25]
    assert script.specs == [
        ("deepfm", "rank", "canary"),
        ("deepfm", "rank", "canary"),
        ("deepfm", "rank", "stable"),
    ]


def test_a_router_may_leave_the_version_to_the_server(make_client, scripted):
    script = scripted()
    client = make_client(script, router=_OneByLabelOneByNumber())
    assert client.predict([(2, 0), (1, 0), (3, 0), (2, 1)]).tolist() == [2.0, 101.0, 3.0, 2.25]
    chosen = {
        uids[0]: (spec.WhichOneof("version_choice"), spec.version_label, spec.version.value)
        for (uids, _), spec in zip(
            script.asked, (request.model_spec for request in script.requests), strict=True
        )
    }
    assert chosen == {1: ("version_label", "canary", 0), 2: (None, "", 0), 3: ("version", "", 7)}


def test_a_label_that_the_server_lacks(server, make_client):
    with (
        make_client(target=f"127.0.0.1:{server.port}", router=CanaryRouter(100)) as client,
        pytest.raises(errors.InvalidRequest, match="Unrecognized servable version label: canary"),
    ):
        client.predict([(1, 2)])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, f"the answer lacks `{RATING}`; it has \\[\\]"),
        ({RATING: np.array([4.0])}, f"`{RATING}` must be float32\\[1\\], got float64\\[1\\]"),
        ({RATING: np.zeros(2, np.float32)}, f"`{RATING}` must be float32\\[1\\], got float32\\[2\\]"),
    ],
)
def test_unexpected_answers(make_client, scripted, outputs, message):
    with pytest.raises(errors.UnexpectedAnswer, match=message):
        make_client(scripted(outputs)).predict([(1, 2)])


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
        (lambda client: client.predict([(1, 2), (-1, 2)]), "`pairs` must not be negative, got -1"),
        (lambda client: client.rank(-1, mids=[1]), "`uid` must not be negative, got -1"),
        (lambda client: client.rank(1, mids=[-3, 1]), "`mids` must not be negative, got -3"),
        (lambda client: client.rank([1, 2], mids=[1]), "`uid` must be one id"),
        (lambda client: client.rank(1, mids=[[1]]), r"`mids` must be of shape \[m\], got \[1, 1\]"),
        (lambda client: client.rank(1, mids=[1], top=0), "`top` must be positive, got 0"),
        (lambda client: client.predict([(1, 2)], [1, 2]), r"`timestamps` must be one or of shape \[1\], got"),
        (lambda client: client.predict([(1, 2)], 0.5), "`timestamps` must hold 64-bit integers, got 0.5"),
        (
            lambda client: client.predict([(1, 2)] * 2, [5, 978300760000]),
            "`timestamps` must be in seconds since 1970-01-01 UTC, at most 4102444799, got 978300760000",
        ),
        (lambda client: client.rank(1, [1], timestamp=-2), "`timestamp` must be in seconds .*, got -2"),
        (lambda client: client.rank(1, mids=[1], exclude=["1"]), "`exclude` must hold 64-bit integers"),
        (lambda client: client.rank(1, mids=[1], exclude={0.5}), "`exclude` must hold 64-bit integers"),
        (lambda client: client.rank(1, [1], exclude=[[1]]), r"`exclude` must be of shape \[m\], got \[1, 1"),
    ],
)
def test_requests_that_are_not_sent(make_client, scripted, ask, message):
    script = scripted()
    with pytest.raises(errors.InvalidRequest, match=message):
        ask(make_client(script))
    assert script.requests == []


@pytest.mark.parametrize("timeout", [0, -1.5])
def test_timeout_must_be_positive(make_client, timeout):
    with pytest.raises(ValueError, match=f"`timeout` must be positive, got {timeout}"):
        make_client(timeout=timeout)


def test_no_server(make_client):
    with (
        make_client(target="127.0.0.1:1", timeout=2) as client,
        pytest.raises(
            errors.ServerUnavailable,
            match=r"no server at 127.0.0.1:1; start one with `deepfm serve` \(.*Connection refused",
        ),
    ):
        client.predict([(1, 2)])


def test_unknown_model(server, make_client):
    with (
        make_client(target=f"127.0.0.1:{server.port}", model_name="other") as client,
        pytest.raises(errors.ModelNotFound, match=r"does not serve the model; .*Latest\(other\)"),
    ):
        client.predict([(1, 2)])


@pytest.mark.parametrize(
    ("signature", "inputs", "expected", "message"),
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
def test_errors_of_the_server(server, send, signature, inputs, expected, message):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "deepfm"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(wire.encode(value))
    with pytest.raises(errors.ServingError, match=message) as caught:
        send(f"127.0.0.1:{server.port}", request, timeout=0.2 if signature == "busy" else 20)
    assert type(caught.value) is expected


def test_retries_hide_a_restart(start_server, tmp_path, models, make_client):
    versions.publish(models[1], tmp_path, fingerprint="one")
    server = start_server(tmp_path)
    with make_client(target=f"127.0.0.1:{server.port}") as client:
        first = client.predict([(1, 2)]).tolist()
        server.stop()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            second = pool.submit(client.predict, [(1, 2)])
            time.sleep(0.2)
            start_server(tmp_path, port=server.port)
            assert second.result().tolist() == first


class _Reluctant(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers its second caller, and fails the first with a given code."""

    def __init__(self, script, code):
        self.script = script
        self.code = code
        self.calls = 0
        self.lock = threading.Lock()

    def Predict(self, request, context):  # noqa: N802
        with self.lock:
            self.calls += 1
            if self.calls == 1:
                context.abort(self.code, "not now")
            return self.script.answer(request, timeout=0)


@pytest.fixture
def reluctant(scripted):
    """Start a server that fails once."""
    servers = []

    def start(code):
        servicer = _Reluctant(scripted(), code)
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), options=wire.MESSAGE_SIZE_OPTIONS)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}", servicer

    yield start
    for server in servers:
        server.stop(0).wait()


def test_a_request_of_any_size_is_asked_again(reluctant, make_client):
    target, servicer = reluctant(grpc.StatusCode.UNAVAILABLE)
    rows = logic.ROWS_PER_REQUEST
    with make_client(target=target) as client:
        ratings = client.predict(np.stack([np.full(rows, 2**40), np.zeros(rows, int)], axis=1))
    assert ratings.tolist() == [float(2**40)] * rows
    assert servicer.calls == 2
    assert servicer.script.requests[0].ByteSize() > 256 << 10  # gRPC's own limit


@pytest.mark.parametrize(
    ("code", "expected", "message"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.LimitExceeded, "too much for {}; ask for less (not now)"),
        (grpc.StatusCode.INTERNAL, errors.ServingError, "{} failed with INTERNAL (not now)"),
    ],
)
def test_other_failures_are_not_asked_again(reluctant, make_client, code, expected, message):
    target, servicer = reluctant(code)
    with (
        make_client(target=target) as client,
        pytest.raises(expected, match=re.escape(message.format(target))),
    ):
        client.predict([(1, 2)])
    assert servicer.calls == 1


def test_a_server_that_does_not_answer(make_client):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            make_client(target=target, timeout=0.3) as client,
            pytest.raises(errors.DeadlineExceeded, match=f"no answer from {target} within 0.3 s; allow more"),
        ):
            client.rank(1, [2, 3])


def test_messages_are_limited_to_what_the_server_takes():
    assert dict(channel.OPTIONS)["grpc.max_send_message_length"] == wire.MAX_MESSAGE_BYTES
    assert dict(channel.OPTIONS)["grpc.max_receive_message_length"] == wire.MAX_MESSAGE_BYTES


def test_the_version_that_answered_is_told(client):
    assert client.answered == set()
    client.predict([(1, 2)])
    assert client.answered == {1}


def test_what_the_user_has_rated_is_left_out(make_client, scripted, rated_catalogue):
    client = make_client(scripted(), catalogue=rated_catalogue)
    assert [entry.mid for entry in client.rank(1)] == [1193]
    assert [entry.mid for entry in client.rank(6040)] == [661, 8]
    assert [entry.mid for entry in client.rank(6040, exclude=[8])] == [661]
    assert [entry.mid for entry in client.rank(1, [8, 7])] == [7]
    assert [entry.mid for entry in client.rank(1, include_rated=True)] == [1193, 661, 8]
    assert [entry.mid for entry in client.rank(1, exclude=[661], include_rated=True)] == [1193, 8]
    assert [entry.mid for entry in client.rank(2)] == [1193, 661, 8]


def test_the_catalogue_is_at_hand(make_client, movie_catalogue):
    assert make_client(catalogue=movie_catalogue).catalogue is movie_catalogue
    assert make_client().catalogue.mids.tolist() == Catalogue.empty().mids.tolist() == []
