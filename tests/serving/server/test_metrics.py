"""The metrics page after known calls, read as Prometheus reads it."""

import json
import time
import types
import urllib.error
import urllib.request

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc, predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as prediction_service

from serving import errors, versions, wire
from serving.server.config_protos import read_monitoring_config
from serving.server.metrics import Metrics

# The parser gives every counter the ending that Prometheus has for them since.
COUNT = ":tensorflow:serving:request_count_total"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count_total"


def _samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _of(samples, name):
    """Return what one name measures, by the values of its labels in the order of their names."""
    return {tuple(value for _, value in key[1:]): count for key, count in samples.items() if key[0] == name}


@pytest.fixture
def running(start_server, tmp_path, models, free_port):
    """A server of version 1 with metrics, and a way to read them."""
    base_path = tmp_path / "serving"
    versions.publish(models[1], base_path, fingerprint="one")
    config = tmp_path / "monitoring.config"
    config.write_text('prometheus_config { enable: true path: "/metrics/here" }')
    server = start_server(
        base_path,
        rest_api_port=free_port(),
        monitoring_config_file=config,
        file_system_poll_wait_seconds=0.05,
    )
    url = f"http://127.0.0.1:{server.config.rest_api_port}"

    def scrape():
        with urllib.request.urlopen(f"{url}/metrics/here", timeout=20) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return answer.read().decode()

    return server, base_path, url, scrape


def _predict(server, inputs, name="deepfm", signature="predict"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(wire.encode(value))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        return prediction_service.PredictionServiceStub(channel).Predict(request)


def test_calls_of_both_protocols_are_counted(running, movie_catalogue):
    server, base_path, url, scrape = running
    inputs = movie_catalogue.predict_inputs([1], [1193])
    for _ in range(3):
        _predict(server, inputs)
    for name, signature in (("deepfm", "x"), ("nobody", "predict"), ("nothing", "predict")):
        with pytest.raises(grpc.RpcError):
            _predict(server, inputs, name=name, signature=signature)
    body = json.dumps({"signature_name": "busy", "inputs": {"rounds": 1}}).encode()
    with urllib.request.urlopen(f"{url}/v1/models/deepfm:predict", body, timeout=20) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{url}/v1/models/deepfm:predict", b"{", timeout=20)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{url}/else", timeout=20)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "deepfm"
        model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request)

    text = scrape()
    assert "# TYPE :tensorflow:serving:request_count counter\n" in text
    assert ':tensorflow:serving:request_count{model_name="deepfm",status="OK"} 4.0\n' in text
    assert f"# TYPE {LATENCY} histogram\n" in text
    assert "_created" not in text
    samples = _samples(text)
    assert _of(samples, COUNT) == {
        ("deepfm", "OK"): 4,
        ("deepfm", "FAILED_PRECONDITION"): 1,
        ("deepfm", "INVALID_ARGUMENT"): 1,
        ("", "NOT_FOUND"): 2,
    }
    assert _of(samples, f"{LATENCY}_count") == {
        ("Predict", "GRPC", "deepfm"): 3,
        ("Predict", "REST", "deepfm"): 1,
    }
    assert _of(samples, f"{RUNTIME}_count") == {("Predict", "deepfm", "TF1"): 4}
    took = _of(samples, f"{LATENCY}_sum")["Predict", "GRPC", "deepfm"]
    assert 100 < took < 20e6  # microseconds
    assert _of(samples, f"{RUNTIME}_sum")["Predict", "deepfm", "TF1"] > 10
    bounds = [key for key in _of(samples, f"{LATENCY}_bucket") if key[1] == "REST"]
    assert len(bounds) == 34
    assert [key[2] for key in bounds[:3]] + [bounds[-1][2]] == ["10.0", "18.0", "32.4", "+Inf"]
    assert _of(samples, "deepfm_serving_errors_total") == {
        ("Predict", "FAILED_PRECONDITION", "GRPC"): 1,
        ("Predict", "NOT_FOUND", "GRPC"): 2,
        ("Predict", "INVALID_ARGUMENT", "REST"): 1,
        ("", "NOT_FOUND", "REST"): 1,
    }
    assert _of(samples, LOADS) == {(str(base_path / "1"), "success"): 1}
    assert _of(samples, ":tensorflow:cc:saved_model:load_latency_total")[(str(base_path / "1"),)] > 1000


def test_loads_and_loaded_versions(running, models, broken_model):
    _, base_path, _, scrape = running
    assert _of(_samples(scrape()), "deepfm_serving_loaded_version") == {("deepfm", "1"): 1}
    versions.publish(broken_model, base_path, fingerprint="broken")
    versions.publish(models[2], base_path, fingerprint="two")
    deadline = time.monotonic() + 20
    while _of(_samples(scrape()), "deepfm_serving_loaded_version") != {("deepfm", "3"): 1}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    loads = {
        (path.rpartition("/")[2], status): n for (path, status), n in _of(_samples(scrape()), LOADS).items()
    }
    assert loads[("1", "success")] == loads[("3", "success")] == 1
    assert loads.get(("2", "fail"), 1) == 1


def test_batches_are_told_by_who_makes_them():
    model = types.SimpleNamespace(depth=5)
    metrics = Metrics(lambda: {"m": types.SimpleNamespace(available=[7], models={7: model})})
    metrics.batch_size.labels("m").observe(3)
    metrics.loaded("/models/8", None)
    samples = _samples(metrics.page().decode())
    buckets = _of(samples, ":tensorflow:serving:batching_session:processed_batch_size_bucket")
    assert (buckets["2.0", "m"], buckets["4.0", "m"], buckets["16384.0", "m"]) == (0, 1, 1)
    assert _of(samples, "deepfm_serving_queue_depth") == {("m",): 5}
    assert _of(samples, "deepfm_serving_loaded_version") == {("m", "7"): 1}
    assert _of(samples, LOADS) == {("/models/8", "fail"): 1}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ('prometheus_config { path: "/x" }', None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/x" }', "/x"),
    ],
)
def test_the_monitoring_config_file(tmp_path, text, path):
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert read_monitoring_config(file) == path


@pytest.mark.parametrize("text", [None, "prometheus_config {", "x: 1"])
def test_what_is_no_monitoring_config_file(tmp_path, text):
    file = tmp_path / "monitoring.config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(errors.InvalidRequest, match=f"{file} is no monitoring config file: "):
        read_monitoring_config(file)
