"""The access log: one JSON object a line for each call."""

import contextlib
import datetime
import json
import logging
import logging.handlers
import queue
from pathlib import Path

from serving.server.recording import Call

LOGGER = "serving.access"
_MAX_WAITING = 10_000  # lines; then a line is lost rather than a request held up
_MAX_TEXT = 256  # characters of what a caller may choose freely


class AccessLog:
    """Writes calls to a file from a thread of its own.

    The file may be moved away by logrotate or the like: a new one is begun then.

    Args:
        path: The file; lines are appended.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        file = logging.handlers.WatchedFileHandler(path, encoding="utf-8")
        file.setFormatter(_Formatter())
        waiting: queue.Queue[logging.LogRecord] = queue.Queue(_MAX_WAITING)
        self._handler = _QueueHandler(waiting)
        self._listener = logging.handlers.QueueListener(waiting, file)
        self._file = file
        self._logger = logging.getLogger(LOGGER)
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        self._logger.addHandler(self._handler)
        self._listener.start()

    def write(self, call: Call) -> None:
        """Hand one call over to be written."""
        self._logger.info("", extra={"call": call})

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._logger.removeHandler(self._handler)
        self._listener.stop()
        self._file.close()


class _QueueHandler(logging.handlers.QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        call: Call = record.call  # type: ignore[attr-defined]
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "peer": call.peer,
            "protocol": call.entrypoint,
            "method": call.method[:_MAX_TEXT],
            "model": call.model[:_MAX_TEXT],
            "version": call.version,
            "signature": call.signature[:_MAX_TEXT],
            "code": call.code.name,
            "milliseconds": round(call.seconds * 1000, 3),
            "bytes_in": call.bytes_in,
            "bytes_out": call.bytes_out,
        }
        return json.dumps(line)
