"""The requests that a server logged, as rows of raw features."""

import collections
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf import message
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tfx.components.statistics_gen.executor import tfdv  # before the rest of it can be imported

from tensorflow_data_validation.statistics import stats_impl  # isort: skip

from schema import features
from serving import errors, request_log, wire

MAX_ROWS = 200_000

_logger = logging.getLogger(__name__)
_RANK = "rank"  # the signature of one user and many movies
_EXAMPLES = "examples"  # input of the signature that takes tf.Examples
# Without what a request says of its question: that it comes after the training data is no drift.
_OF_USERS = (features.UID, *features.USER_FEATURES)
_OF_MOVIES = (features.MID, *features.MOVIE_FEATURES)
_Row = Mapping[str, list[int] | list[bytes]]  # each feature's values by its name
_TYPES = {features.Dtype.INT64: pa.int64(), features.Dtype.BYTES: pa.binary()}


@dataclasses.dataclass(frozen=True)
class Logged:
    """What was asked for."""

    rows: int
    statistics: DatasetFeatureStatisticsList  # without a feature where there is no row


def fingerprint(base_path: str) -> str:
    """Return what changes with each request that a server of a serving folder logs; "" where none did."""
    found = []
    for path in request_log.files(request_log.prefix(base_path)):
        with contextlib.suppress(FileNotFoundError):  # a server has begun another in its place
            found.append((path.name, path.stat().st_size))
    return hashlib.sha256(repr(found).encode()).hexdigest() if found else ""


def read(base_path: str) -> Logged:
    """Return the statistics of the requests that the servers of a serving folder logged, the newest first.

    Of a `rank` request the user alone is a row: its movies are candidates, and say nothing of what is asked.
    """
    rows: list[_Row] = []
    for path in reversed(request_log.files(request_log.prefix(base_path))):
        # The newest of a file are its last.
        every = (row for request in _requests(path) for row in _rows(request))
        rows += collections.deque(every, maxlen=MAX_ROWS - len(rows))
        if len(rows) == MAX_ROWS:
            break
    # Without a pair there are no movies; users lack a feature only if clients do not send it.
    movies = any(features.MID.name in row for row in rows)
    columns = (*_OF_USERS, *_OF_MOVIES) if movies else _OF_USERS
    table = pa.RecordBatch.from_pydict(
        {f.name: pa.array([row.get(f.name) for row in rows], pa.list_(_TYPES[f.dtype])) for f in columns}
    )
    return Logged(len(rows), stats_impl.generate_statistics_in_memory(table, tfdv.StatsOptions()))


def _requests(path: Path) -> Iterator[predict_pb2.PredictRequest]:
    """Yield the predict requests of a file, up to what a server that was killed left unfinished."""
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") == "predict_log":
                yield log.predict_log.request
    except (tf.errors.OpError, message.DecodeError) as error:
        _logger.warning("%s ends early: %s", path, error)


def _rows(request: predict_pb2.PredictRequest) -> Iterator[_Row]:
    """Yield the rows of a request, each feature's values by its name; what is missing is left out."""
    try:
        inputs = {name: wire.decode(tensor) for name, tensor in request.inputs.items()}
    except errors.InvalidRequest as error:
        _logger.warning("a logged request cannot be read: %s", error)
        return
    if set(inputs) == {_EXAMPLES}:
        for serialized in inputs[_EXAMPLES].ravel():
            yield _of_example(serialized)
        return
    ranking = request.model_spec.signature_name == _RANK
    asked = _OF_USERS if ranking else (*_OF_USERS, *_OF_MOVIES)
    found = {f.name: inputs[f.name][:1] if ranking else inputs[f.name] for f in asked if f.name in inputs}
    for number in range(min(map(len, found.values()), default=0)):
        values = {name: _present(np.ravel(array[number])) for name, array in found.items()}
        yield {name: present for name, present in values.items() if present}


def _of_example(serialized: bytes) -> _Row:
    found = tf.train.Example.FromString(serialized).features.feature
    return {
        feature.name: list(getattr(found[feature.name], kind).value)
        for feature in (*_OF_USERS, *_OF_MOVIES)
        if feature.name in found and (kind := found[feature.name].WhichOneof("kind"))
    }


def _present(values: np.ndarray) -> list[int] | list[bytes]:
    missing = (features.MISSING_INT, features.MISSING_STRING.encode())
    return [value for value in values.tolist() if value not in missing]
