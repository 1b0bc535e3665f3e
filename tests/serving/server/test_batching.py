import concurrent.futures
import contextlib
import threading
import time

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from schema import features
from serving import errors, versions, warmup, wire
from serving.production import model_server
from serving.production.config import BatchingConfig
from serving.saved_model import SessionModel
from serving.server import server as server_module
from serving.server.batching import BatchingModel, BatchingParameters, BatchQueue
from serving.server.config import ServerConfig

RATING, MID, UID = features.RATING.name, features.MID.name, features.UID.name
Code = grpc.StatusCode


class RowSums:
    """In place of a model: sums the rows of its first input, refuses negative ones, and can be held."""

    def __init__(self):
        self.batches = []  # the inputs of each run
        self.running = threading.Semaphore(0)
        self.observed = []  # rows of each batch, without padding
        self.gate = threading.Event()
        self.gate.set()

    def compute(self, signature, outputs, feeds):
        assert (signature, outputs) == ("sum", ("y",))
        self.batches.append([feed.tolist() for feed in feeds])
        self.running.release()
        assert self.gate.wait(20)
        if feeds[0].dtype != object and (feeds[0] < 0).any():
            raise errors.InvalidRequest(f"{feeds[0].min()} is negative")
        return {"y": np.array([sum(row) if feeds[0].dtype != object else len(row) for row in feeds[0]])}


@pytest.fixture
def model():
    return RowSums()


@pytest.fixture
def queue(model):
    """Make a queue; one batch at a time if not said otherwise."""
    return lambda **parameters: BatchQueue(
        model,
        "sum",
        ("y",),
        BatchingParameters(**{"num_batch_threads": 1, **parameters}),
        model.observed.append,
    )


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(24) as executor:
        yield executor


def rows(*numbers):
    return [np.array([[number, 1] for number in numbers])]


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextlib.contextmanager
def held(model, pool, queue):
    """Hold the queue's one place with a request of its own, [100]."""
    model.gate.clear()
    first = pool.submit(queue.run, rows(100))
    assert model.running.acquire(timeout=20)
    try:
        yield
    finally:
        model.gate.set()
    assert first.result()["y"].tolist() == [101]


def submit(pool, queue, feeds, depth):
    """Send a request, and return once `depth` wait."""
    future = pool.submit(queue.run, feeds)
    wait_until(lambda: queue.depth == depth)
    return future


def test_a_request_alone_runs_at_once(model, queue):
    made = queue()
    assert made.run(rows(1, 2))["y"].tolist() == [2, 3]
    assert model.batches == [[[[1, 1], [2, 1]]]]
    assert (made.depth, model.observed) == (0, [2])


def test_what_comes_while_a_batch_runs_is_the_next_batch(model, queue, pool):
    made = queue()
    with held(model, pool, made):
        futures = [submit(pool, made, rows(*range(n)), n) for n in (1, 2, 3)]
    assert [future.result()["y"].tolist() for future in futures] == [[1], [1, 2], [1, 2, 3]]
    assert model.batches[1:] == [[[[0, 1], [0, 1], [1, 1], [0, 1], [1, 1], [2, 1]]]]
    assert (made.depth, model.observed) == (0, [1, 6])


def test_a_batch_has_at_most_its_size_and_takes_requests_in_order(model, queue, pool):
    made = queue(max_batch_size=3)
    with held(model, pool, made):
        futures = [submit(pool, made, rows(*numbers), depth) for depth, numbers in
                   enumerate(([1, 2], [3, 4], [5], [6]), 1)]  # fmt: skip
    assert [future.result()["y"].tolist() for future in futures] == [[2, 3], [4, 5], [6], [7]]
    assert model.batches[1:] == [[[[1, 1], [2, 1], [5, 1]]], [[[3, 1], [4, 1], [6, 1]]]]


def test_a_large_request_runs_in_parts(model, queue):
    assert queue(max_batch_size=3).run(rows(*range(7)))["y"].tolist() == list(range(1, 8))
    assert [len(batch[0]) for batch in model.batches] == [3, 3, 1]


def test_batches_run_beside_each_other(model, queue, pool):
    made = queue(num_batch_threads=2)
    model.gate.clear()
    futures = [pool.submit(made.run, rows(n)) for n in (1, 2)]
    for _ in futures:
        assert model.running.acquire(timeout=20)
    third = submit(pool, made, rows(3), 1)
    model.gate.set()
    assert [future.result()["y"].tolist() for future in [*futures, third]] == [[2], [3], [4]]


def test_padding_repeats_the_first_row_and_is_dropped(model, queue):
    made = queue(max_batch_size=4, allowed_batch_sizes=(2, 4))
    assert made.run(rows(5))["y"].tolist() == [6]
    assert made.run(rows(5, 6, 7))["y"].tolist() == [6, 7, 8]
    assert model.batches == [[[[5, 1], [5, 1]]], [[[5, 1], [6, 1], [7, 1], [5, 1]]]]
    assert model.observed == [1, 3]


def test_strings_of_another_width_are_padded_with_empty_ones(model, queue, pool):
    made = queue()
    with held(model, pool, made):
        submit(pool, made, [np.array([[b"a"]], object)], 1)
        submit(pool, made, [np.array([[b"b", b"c"]], object)], 2)
    wait_until(lambda: len(model.batches) == 2)
    assert model.batches[1] == [[[b"a", b""], [b"b", b"c"]]]


def test_numbers_of_another_width_run_apart(model, queue, pool):
    made = queue()
    with held(model, pool, made):
        futures = [submit(pool, made, [np.ones([1, width], int)], n) for n, width in enumerate((2, 3, 2), 1)]
    assert [future.result()["y"].tolist() for future in futures] == [[2], [3], [2]]
    assert model.batches[1:] == [[[[1, 1], [1, 1]]], [[[1, 1, 1]]]]


def test_a_wrong_request_does_not_harm_its_neighbours(model, queue, pool):
    made = queue()
    with held(model, pool, made):
        futures = [submit(pool, made, rows(number), depth) for depth, number in enumerate((1, -7, 3), 1)]
    assert futures[0].result()["y"].tolist() == [2]
    with pytest.raises(errors.InvalidRequest, match="-7 is negative"):
        futures[1].result()
    assert futures[2].result()["y"].tolist() == [4]
    assert len(model.batches) == 1 + 1 + 3


def test_a_wrong_part_fails_its_request_and_leaves_nothing_behind(model, queue):
    made = queue(max_batch_size=2)
    with pytest.raises(errors.InvalidRequest, match="-1 is negative"):
        made.run(rows(1, -1, 3, 4, 5))
    assert made.depth == 0
    assert made.run(rows(1))["y"].tolist() == [2]


def test_outputs_without_the_rows_of_the_batch_are_made_one_by_one(model, queue, pool):
    made = queue()
    model.compute, compute = lambda *args: {"y": compute(*args)["y"].sum(keepdims=True)}, model.compute
    with held(model, pool, made):
        futures = [submit(pool, made, rows(number), depth) for depth, number in enumerate((1, 2), 1)]
    assert [future.result()["y"].tolist() for future in futures] == [[2], [3]]


def test_the_queue_is_bounded(model, queue, pool):
    made = queue(max_batch_size=2, max_enqueued_batches=2)
    with held(model, pool, made):
        waiting = [submit(pool, made, rows(1, 2), 1), submit(pool, made, rows(3), 2)]
        with pytest.raises(errors.LimitExceeded) as caught:
            made.run(rows(4, 5))
        waiting.append(submit(pool, made, rows(6), 3))
    assert str(caught.value) == (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2"
    )
    assert [future.result()["y"].tolist() for future in waiting] == [[2, 3], [4], [7]]


def test_a_request_waits_for_others_as_long_as_the_timeout_says(model, queue, pool):
    made = queue(batch_timeout_micros=200_000, max_batch_size=4)
    start = time.monotonic()
    assert made.run(rows(1))["y"].tolist() == [2]
    assert 0.2 <= time.monotonic() - start < 5
    futures = [pool.submit(made.run, rows(number)) for number in (1, 2)]
    assert [future.result()["y"].tolist() for future in futures] == [[2], [3]]
    assert [len(batch[0]) for batch in model.batches] == [1, 2]


def test_a_full_batch_does_not_wait(queue, pool):
    made = queue(batch_timeout_micros=60_000_000, max_batch_size=2)
    futures = [pool.submit(made.run, rows(number)) for number in (1, 2)]
    assert [future.result(20)["y"].tolist() for future in futures] == [[2], [3]]


def test_many_threads_get_what_they_asked_for(model, queue, pool):
    # Each of the requests may wait in two parts, each in a batch by itself.
    made = queue(num_batch_threads=2, max_batch_size=8, max_enqueued_batches=32)

    def ask(seed):
        random = np.random.default_rng(seed)
        for _ in range(100):
            numbers = random.integers(0, 1000, random.integers(1, 12))
            assert made.run(rows(*numbers))["y"].tolist() == (numbers + 1).tolist()

    for future in [pool.submit(ask, seed) for seed in range(16)]:
        future.result()
    assert made.depth == 0


@pytest.fixture
def observed():
    """The rows of each batch of `batching_model`."""
    return []


@pytest.fixture
def batching_model(model_folder, observed):
    parameters = BatchingParameters(num_batch_threads=1)
    with BatchingModel(model_folder, parameters, observed.append) as loaded:
        yield loaded


def test_only_signatures_with_rows_throughout_are_joined(batching_model, observed, movie_catalogue):
    ranked = batching_model.run("rank", movie_catalogue.rank_inputs(1, [8]))
    assert ranked[MID].tolist() == [8]
    assert observed == []
    inputs = movie_catalogue.predict_inputs([1, 2], [8, 5])
    assert batching_model.run("predict", inputs, [RATING])[RATING].shape == (2,)
    assert observed == [2]


@pytest.mark.parametrize("count", [1, 0])
def test_what_cannot_be_joined_runs_as_without_batching(
    batching_model, observed, model_folder, movie_catalogue, count
):
    mids = [8, 661][: 2 * count]
    inputs = movie_catalogue.predict_inputs([1][:count], []) | movie_catalogue.movie_features(mids)
    with SessionModel(model_folder) as plain:
        expected = plain.run("predict", inputs)[RATING]
    np.testing.assert_array_equal(batching_model.run("predict", inputs)[RATING], expected)
    assert observed == []


def test_a_request_that_does_not_fit_is_refused_before_it_waits(batching_model, observed, movie_catalogue):
    inputs = movie_catalogue.predict_inputs([1], [8])
    with pytest.raises(errors.InvalidRequest, match="to be int64 but float32 is provided"):
        batching_model.run("predict", inputs | {UID: np.array([1.0], np.float32)})
    assert observed == []


class HeldModel(BatchingModel):
    """A model whose runs can be held, after warm-up."""

    gate: threading.Event
    uids: list  # of each run of `predict`

    def compute(self, signature, outputs, feeds):
        if signature == "predict":
            self.uids.append(feeds[sorted(self.signatures[signature].inputs).index(UID)].tolist())
            assert self.gate.wait(20)
        return super().compute(signature, outputs, feeds)


@pytest.fixture
def hold(monkeypatch):
    """Serve models that `gate` holds; opened at the end, before servers stop."""
    monkeypatch.setattr(HeldModel, "gate", threading.Event(), raising=False)
    monkeypatch.setattr(HeldModel, "uids", [], raising=False)
    monkeypatch.setattr(server_module, "BatchingModel", HeldModel)
    HeldModel.gate.set()
    yield HeldModel
    HeldModel.gate.set()


class Caller:
    """Sends requests to a server without waiting for them."""

    def __init__(self, server, movie_catalogue):
        self.catalogue = movie_catalogue
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options=wire.MESSAGE_SIZE_OPTIONS)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        model = server.core.models["deepfm"]
        with model.servable() as (_, self.model):
            pass

    def send(self, uids, mids, timeout=20):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "deepfm"
        request.model_spec.signature_name = "predict"
        for name, value in self.catalogue.predict_inputs(uids, mids).items():
            request.inputs[name].CopyFrom(wire.encode(value))
        return self.stub.Predict.future(request, timeout=timeout)

    @property
    def depth(self):
        return self.model.depth

    def send_and_hold(self, gate, uids):
        """Hold the first request's run; the others wait in the queue."""
        gate.clear()
        sent = [self.send([uids[0]], [8])]
        wait_until(lambda: HeldModel.uids and HeldModel.uids[-1] == [uids[0]])
        for uid in uids[1:]:
            sent.append(self.send([uid], [8]))
            wait_until(lambda: self.depth == len(sent) - 1)
        return sent


@pytest.fixture
def start_batching(start_server, tmp_path, models, movie_catalogue):
    """Start a server of bias 1 with batching, and return it with a caller."""
    versions.publish(models[1], tmp_path / "serving", fingerprint="one")
    callers = []

    def start(text="num_batch_threads { value: 1 }", **settings):
        (tmp_path / "batching.config").write_text(text)
        server = start_server(
            tmp_path / "serving",
            enable_batching=True,
            batching_parameters_file=tmp_path / "batching.config",
            grpc_max_threads=32,
            **settings,
        )
        callers.append(Caller(server, movie_catalogue))
        return server, callers[-1]

    yield start
    for caller in callers:
        caller.channel.close()


def _bucket(page, bound):
    """How many batches had at most so many rows, as the metrics tell."""
    name = ":tensorflow:serving:batching_session:processed_batch_size_bucket"
    (line,) = [line for line in page.splitlines() if line.startswith(name) and f'le="{bound}"' in line]
    return float(line.split()[-1])


def rating(answer):
    return wire.decode(answer.outputs[RATING]).tolist()


def test_concurrent_calls_get_the_answers_of_calls_one_by_one(start_batching, model_folder, movie_catalogue):
    server, caller = start_batching()
    random = np.random.default_rng(0)
    pairs = [
        (random.integers(0, 6041, size), random.choice([8, 661, 1193, 5], size))
        for size in random.integers(1, 6, 400)
    ]
    with SessionModel(model_folder) as plain:
        expected = [plain.run("predict", movie_catalogue.predict_inputs(*pair))[RATING] for pair in pairs]
    for start in range(0, len(pairs), 40):
        sent = [caller.send(*pair) for pair in pairs[start : start + 40]]
        for future, wanted in zip(sent, expected[start : start + 40], strict=True):
            assert rating(future.result()) == wanted.tolist()
    page = server.metrics.page().decode()
    assert _bucket(page, "16384.0") > _bucket(page, "8.0")  # no request has more than 5 rows


def test_a_full_queue_is_resource_exhausted(start_batching, hold):
    _, caller = start_batching(
        "num_batch_threads { value: 1 } max_batch_size { value: 1 } max_enqueued_batches { value: 2 }"
    )
    sent = caller.send_and_hold(hold.gate, [1, 2, 3])
    refused = caller.send([4], [8])
    assert refused.code() == Code.RESOURCE_EXHAUSTED
    assert refused.details() == (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2"
    )
    hold.gate.set()
    assert [future.code() for future in sent] == [Code.OK] * 3


@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_a_call_that_nobody_waits_for_does_not_run(start_batching, hold, end):
    _, caller = start_batching()
    sent = caller.send_and_hold(hold.gate, [1])
    lost = caller.send([2], [8], timeout=0.3 if end == "deadline" else 20)
    wait_until(lambda: caller.depth == 1)
    if end == "cancel":
        lost.cancel()
        assert lost.cancelled()
        time.sleep(0.2)
    else:
        assert lost.code() == Code.DEADLINE_EXCEEDED
    late = caller.send([3], [8])
    wait_until(lambda: caller.depth == (1 if end == "deadline" else 2))
    hold.gate.set()
    assert [future.code() for future in (*sent, late)] == [Code.OK] * 2
    assert [uids for uids in hold.uids if set(uids) & {1, 2, 3}][-2:] == [[1], [3]]


def test_a_version_is_unloaded_after_what_waits_for_it(start_batching, hold, tmp_path, models):
    server, caller = start_batching(file_system_poll_wait_seconds=0.0)
    sent = caller.send_and_hold(hold.gate, [4, 8, 12])
    hold.gate.set()  # for the other version's warm-up
    first_rating = rating(sent[0].result())
    assert [rating(future.result()) for future in sent[1:]] == [first_rating] * 2
    sent = caller.send_and_hold(hold.gate, [4, 8, 12])
    versions.publish(models[2], tmp_path / "serving", fingerprint="two")
    (tmp_path / "serving" / "2" / warmup.REQUESTS).unlink()
    switch = threading.Thread(target=server.core.poll)
    switch.start()
    manager = server.core.models["deepfm"]
    wait_until(lambda: manager.version == 2)
    time.sleep(0.2)
    assert switch.is_alive()
    assert caller.depth == 2
    hold.gate.set()
    answers = [future.result() for future in sent]
    assert [answer.model_spec.version.value for answer in answers] == [1, 1, 1]
    assert [rating(answer) for answer in answers] == [first_rating] * 3
    switch.join(20)
    assert not switch.is_alive()
    answer = caller.send([4], [8]).result()
    assert (answer.model_spec.version.value, rating(answer)[0] - first_rating[0]) == (2, 1.0)


def test_what_waits_is_answered_before_the_server_stops(start_batching, hold):
    server, caller = start_batching()
    sent = caller.send_and_hold(hold.gate, [1, 2, 3])
    stopping = threading.Thread(target=server.stop, args=(20,))
    stopping.start()
    time.sleep(0.2)
    assert caller.depth == 2
    hold.gate.set()
    assert [future.code() for future in sent] == [Code.OK] * 3
    stopping.join(20)
    assert not stopping.is_alive()


def test_parameters_are_read_from_text(tmp_path):
    file = tmp_path / "batching.config"
    file.write_text(
        'thread_pool_name { value: "batches" } max_batch_size { value: 128 } '
        "batch_timeout_micros { value: 0 } max_enqueued_batches { value: 1000000 } "
        "num_batch_threads { value: 8 } allowed_batch_sizes: [ 1, 64, 128 ]"
    )
    assert BatchingParameters.read(file) == BatchingParameters(
        max_batch_size=128,
        batch_timeout_micros=0,
        max_enqueued_batches=1_000_000,
        num_batch_threads=8,
        allowed_batch_sizes=(1, 64, 128),
    )
    file.write_text("")
    assert BatchingParameters.read(file) == BatchingParameters()
    config = BatchingConfig(max_batch_size=64, allowed_batch_sizes=(8, 64))
    file.write_text(model_server.batching_config(config))
    assert vars(BatchingParameters.read(file)) == vars(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", "no batching parameters file"),
        ("max_rows { value: 3 }", "has no field named .?max_rows"),
        ("max_batch_size { value: 0 }", "`max_batch_size` must be positive, got 0"),
        ("max_enqueued_batches { value: -1 }", "`max_enqueued_batches` must be positive, got -1"),
        ("batch_timeout_micros { value: -1 }", "`batch_timeout_micros` must not be negative, got -1"),
        ("allowed_batch_sizes: [2, 4]", r"rise to `max_batch_size` \(1000\), got \(2, 4\)"),
        ("pad_variable_length_inputs: true", "`pad_variable_length_inputs` is not supported"),
    ],
)
def test_wrong_parameters_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "batching.config").write_text(text)
    with pytest.raises(errors.InvalidRequest, match=message):
        BatchingParameters.read(tmp_path / "batching.config")


def test_parameters_without_batching_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is set without setting `enable_batching` to true"):
        ServerConfig(model_base_path=tmp_path, batching_parameters_file=tmp_path / "batching.config")
    config = ServerConfig.from_flags(
        [f"--model_base_path={tmp_path}", "--enable_batching=true", "--batching_parameters_file=b"]
    )
    assert (config.enable_batching, str(config.batching_parameters_file)) == (True, "b")
