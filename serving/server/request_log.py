"""The log of sampled requests that a model's `logging_config` asks for: TFRecord files of PredictionLog.

TensorFlow Serving leaves it to who builds it what a log collector is, and comes without any
(https://github.com/tensorflow/serving/blob/master/tensorflow_serving/core/log_collector.h). The one type here
is `tfrecord`.
"""

import contextlib
import datetime
import logging
import os
import queue
import random
import threading
from pathlib import Path
from typing import Final

import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import logging_config_pb2

from serving.request_log import SUFFIX, TYPE, files

_logger = logging.getLogger(__name__)

FILE_BYTES: Final = 16 << 20
"""A file that has as many gets no more records."""

MAX_FILES: Final = 4
"""Then the oldest file is removed."""

_CLOSE_SECONDS = 5.0
_MAX_WAITING = 100  # records; then one is lost rather than a request held up


class RequestLog:
    """Samples requests, and writes them from a thread of its own.

    A log that cannot be written says so once, and loses its records; no request waits for it or fails.

    Args:
        config: Of a model, with a collector of the type `TYPE`.
    """

    def __init__(self, config: logging_config_pb2.LoggingConfig) -> None:
        self.config = config
        self._prefix = Path(config.log_collector_config.filename_prefix)
        self._rate = config.sampling_config.sampling_rate
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MAX_WAITING)
        self._writer: tf.io.TFRecordWriter | None = None
        self._bytes = 0
        self._failed = False
        self._thread = threading.Thread(target=self._write_all, name="request-log", daemon=True)
        self._thread.start()

    def offer(self, kind: str, request: message.Message, response: message.Message) -> None:
        """Log a call if the sample takes it.

        Args:
            kind: Field of PredictionLog, such as `predict_log`.
            request: As it came.
            response: What it got.
        """
        if random.random() >= self._rate:
            return
        log = prediction_log_pb2.PredictionLog()
        getattr(log, kind).request.CopyFrom(request)
        getattr(log, kind).response.CopyFrom(response)
        try:
            self._waiting.put_nowait(log.SerializeToString())
        except queue.Full:
            _logger.debug("a request was not logged: %d wait", _MAX_WAITING)

    def close(self) -> None:
        """Write what waits, and end; a disk that hangs is not waited for."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=_CLOSE_SECONDS)
            self._thread.join(_CLOSE_SECONDS)

    def _write_all(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._write(record)
                self._failed = False
            except (OSError, tf.errors.OpError) as error:
                self._writer = None
                if not self._failed:
                    _logger.error("requests cannot be logged to %s: %s", self._prefix, error)
                self._failed = True
        if self._writer is not None:
            self._writer.close()

    def _write(self, record: bytes) -> None:
        if self._writer is None or self._bytes >= FILE_BYTES:
            self._begin_file()
        assert self._writer is not None
        self._writer.write(record)
        self._bytes += len(record)
        if self._waiting.empty():
            self._writer.flush()

    def _begin_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._prefix.parent.mkdir(parents=True, exist_ok=True)
        for old in files(self._prefix)[: 1 - MAX_FILES]:
            old.unlink(missing_ok=True)
        # As text they sort by time; another server may log to the same prefix.
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self._writer = tf.io.TFRecordWriter(f"{self._prefix}-{stamp}-{os.getpid()}{SUFFIX}")
        self._bytes = 0


def check(config: logging_config_pb2.LoggingConfig) -> str:
    """Return what is wrong with the logging of a model, in TensorFlow Serving's words; "" for nothing."""
    kind = config.log_collector_config.type
    return "" if kind == TYPE else f"Cannot find LogCollector::Factory for type: {kind}"
