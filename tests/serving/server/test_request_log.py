"""Requests that a real server logged."""

import threading
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import logging_config_pb2

from serving import errors, release, request_log, versions, wire
from serving.server import request_log as server_log
from serving.server.config import ServerConfig
from serving.server.request_log import RequestLog
from serving.server.server import Server


def logging_config(prefix, rate=1.0, kind=request_log.TYPE):
    config = logging_config_pb2.LoggingConfig()
    config.log_collector_config.type = kind
    config.log_collector_config.filename_prefix = str(prefix)
    config.sampling_config.sampling_rate = rate
    return config


def records(prefix):
    """The records of all files of a log, the oldest first."""
    return [
        prediction_log_pb2.PredictionLog.FromString(record)
        for path in request_log.files(prefix)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]


def numbered(number, bytes_=0):
    request = predict_pb2.PredictRequest()
    request.model_spec.version.value = number
    request.model_spec.signature_name = "x" * bytes_
    return request


def offer(log, numbers, bytes_=0):
    for number in numbers:
        while log._waiting.qsize() > 50:  # more would be lost
            time.sleep(0.001)
        log.offer("predict_log", numbered(number, bytes_), predict_pb2.PredictResponse())


def test_a_server_logs_what_it_was_asked_and_answered(models, movie_catalogue, tmp_path):
    base = tmp_path / "serving" / "deepfm"
    versions.publish(models[1], base, fingerprint="one")
    release.publish(base, 1)
    release.log_requests(base, 1.0)
    server = Server(
        ServerConfig(
            model_config_file=release.write_models_config(base),
            port=0,
            allow_version_labels_for_unavailable_models=True,
        )
    )
    server.start()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "deepfm"
    request.model_spec.signature_name = "predict"
    for name, value in movie_catalogue.predict_inputs([1], [1193]).items():
        request.inputs[name].CopyFrom(wire.encode(value))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        response = predict(request)
        failing = predict_pb2.PredictRequest()
        failing.model_spec.name = "deepfm"
        with pytest.raises(grpc.RpcError):
            predict(failing)
        # As a follower takes a running server to what is configured now.
        release.log_requests(base, 0)
        server.core.reload(release.models_config(base))
        predict(request)
        release.log_requests(base, 1.0)
        server.core.reload(release.models_config(base))
        predict(request)
    server.stop()
    first, second = records(request_log.prefix(base))
    assert first.predict_log.request == request
    assert first.predict_log.response == response
    assert second.predict_log.request == request


def test_a_collector_that_is_not_known_is_refused(tmp_path):
    base = tmp_path / "deepfm"
    base.mkdir()
    config = release.models_config(base)
    config.model_config_list.config[0].logging_config.CopyFrom(logging_config(base, kind="kafka"))
    server = Server(ServerConfig(model_base_path=base, port=0))
    with pytest.raises(errors.ModelNotFound, match="Cannot find LogCollector::Factory for type: kafka"):
        server.core.reload(config)
    server.stop()


def test_a_sample_is_taken(tmp_path, monkeypatch):
    draws = iter([0.3, 0.1, 0.25, 0.2])
    monkeypatch.setattr(server_log.random, "random", lambda: next(draws))
    log = RequestLog(logging_config(tmp_path / "log", 0.25))
    offer(log, range(4))
    log.close()
    assert [r.predict_log.request.model_spec.version.value for r in records(tmp_path / "log")] == [1, 3]


def test_files_are_bounded_and_the_newest_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(server_log, "FILE_BYTES", 3000)
    log = RequestLog(logging_config(tmp_path / "sub" / "log"))
    offer(log, range(100), bytes_=1000)
    log.close()
    files = request_log.files(tmp_path / "sub" / "log")
    assert len(files) == server_log.MAX_FILES
    assert all(path.stat().st_size < 5000 for path in files)
    kept = [r.predict_log.request.model_spec.version.value for r in records(tmp_path / "sub" / "log")]
    assert kept == list(range(100 - len(kept), 100))
    assert len(kept) > 3 * 3


def test_a_record_is_on_the_disk_before_the_next_comes(tmp_path):
    log = RequestLog(logging_config(tmp_path / "log"))
    offer(log, [1])
    deadline = time.monotonic() + 10
    while not (request_log.files(tmp_path / "log") and records(tmp_path / "log")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.close()


def test_a_log_that_cannot_be_written_holds_nobody_up(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    log = RequestLog(logging_config(tmp_path / "file" / "log"))
    offer(log, range(3))
    log.close()
    (said,) = [r.getMessage() for r in caplog.records if "cannot be logged" in r.getMessage()]
    assert str(tmp_path / "file" / "log") in said


def test_records_that_a_slow_disk_does_not_take_are_lost(tmp_path, monkeypatch):
    go = threading.Event()
    write = RequestLog._write
    monkeypatch.setattr(RequestLog, "_write", lambda log, record: (go.wait(), write(log, record)))
    log = RequestLog(logging_config(tmp_path / "log"))
    for number in range(300):
        log.offer("predict_log", numbered(number), predict_pb2.PredictResponse())
    go.set()
    log.close()
    assert len(records(tmp_path / "log")) in (100, 101)
