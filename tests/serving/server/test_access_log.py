"""Lines of the access log after known calls."""

import datetime
import json
import logging
import logging.handlers
import queue
import time
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving import errors, versions, wire
from serving.server import access_log
from serving.server.access_log import LOGGER, AccessLog
from serving.server.recording import Call


def _lines(path, count):
    """Return that many lines, which another thread writes."""
    deadline = time.monotonic() + 10
    while True:
        lines = path.read_text().splitlines()
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)


def _call(**fields):
    return Call(
        **{
            "peer": "ipv4:127.0.0.1:1",
            "entrypoint": "GRPC",
            "api": "Predict",
            "method": "/tensorflow.serving.PredictionService/Predict",
            "model": "m",
            "version": None,
            "signature": "s",
            "code": grpc.StatusCode.OK,
            "seconds": 0.0015,
            "bytes_in": 3,
            "bytes_out": 4,
            **fields,
        }
    )


def test_a_line_for_each_call(start_server, tmp_path, models, movie_catalogue, free_port):
    versions.publish(models[1], tmp_path / "serving", fingerprint="one")
    path, port = tmp_path / "access.log", free_port()
    server = start_server(tmp_path / "serving", access_log_file=path, rest_api_port=port)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "deepfm"
    request.model_spec.signature_name = "predict"
    for name, value in movie_catalogue.predict_inputs([1], [1193]).items():
        request.inputs[name].CopyFrom(wire.encode(value))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        sizes = [(request.ByteSize(), predict(request).ByteSize())]
        request.model_spec.version.value = 7
        sizes.append((request.ByteSize(), 0))
        with pytest.raises(grpc.RpcError):
            predict(request)
        garbage = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            garbage(b"\xff\xff")
        assert caught.value.code() == grpc.StatusCode.INTERNAL
        assert caught.value.details() == "Exception deserializing request!"
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    body = json.dumps({"signature_name": "busy", "inputs": {"rounds": 1}}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/deepfm:predict", body) as answer:
        sizes += [(2, 0), (0, 2), (len(body), len(answer.read()))]

    lines = _lines(path, 5)
    method = "/tensorflow.serving.PredictionService/Predict"
    keys = ("protocol", "method", "model", "version", "signature", "code")
    assert [tuple(line[key] for key in keys) for line in lines] == [
        ("GRPC", method, "deepfm", 1, "predict", "OK"),
        ("GRPC", method, "deepfm", 7, "predict", "NOT_FOUND"),
        ("GRPC", method, "", None, "", "INTERNAL"),
        ("GRPC", "/grpc.health.v1.Health/Check", "", None, "", "OK"),
        ("REST", "POST /v1/models/deepfm:predict", "deepfm", 1, "busy", "OK"),
    ]
    assert [(line["bytes_in"], line["bytes_out"]) for line in lines] == sizes
    now = datetime.datetime.now(datetime.UTC)
    for line in lines:
        assert line["peer"].startswith("ipv4:127.0.0.1:")
        assert 0 < line["milliseconds"] < 20_000
        assert abs(now - datetime.datetime.fromisoformat(line["time"])).total_seconds() < 60


def test_a_file_that_is_moved_away_begins_anew(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path)
    try:
        log.write(_call())
        _lines(path, 1)
        path.rename(tmp_path / "access.log.1")
        log.write(_call(code=grpc.StatusCode.NOT_FOUND))
    finally:
        log.close()
    assert [line["code"] for line in _lines(tmp_path / "access.log.1", 1)] == ["OK"]
    (line,) = _lines(path, 1)
    del line["time"]
    assert line == {
        "peer": "ipv4:127.0.0.1:1",
        "protocol": "GRPC",
        "method": "/tensorflow.serving.PredictionService/Predict",
        "model": "m",
        "version": None,
        "signature": "s",
        "code": "NOT_FOUND",
        "milliseconds": 1.5,
        "bytes_in": 3,
        "bytes_out": 4,
    }
    handlers = logging.getLogger(LOGGER).handlers
    assert not any(isinstance(handler, logging.handlers.QueueHandler) for handler in handlers)


def test_callers_cannot_fill_or_forge_lines(tmp_path):
    log = AccessLog(tmp_path / "access.log")
    log.write(_call(model="x" * 10_000, signature='"}\n{"code": "OK'))
    log.close()
    (line,) = _lines(tmp_path / "access.log", 1)
    assert line["model"] == "x" * 256
    assert line["signature"] == '"}\n{"code": "OK'


def test_a_full_queue_holds_nobody_up():
    handler = access_log._QueueHandler(queue.Queue(1))
    for _ in range(3):
        handler.emit(logging.makeLogRecord({"call": _call()}))
    assert handler.queue.qsize() == 1


def test_a_file_that_cannot_be_written_is_named(start_server, tmp_path):
    with pytest.raises(errors.ServingError, match=f"cannot write the access log {tmp_path}: "):
        start_server(tmp_path, access_log_file=tmp_path)
