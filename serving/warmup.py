"""Warm-up requests: what a server runs through a version before the version answers anyone.

TensorFlow Serving reads them from the version's own folder, refuses a version with more than 1,000 of
them or with one that fails, and silently loads a version without them
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import prediction_log_pb2

from serving import errors, wire

REQUESTS = Path("assets.extra", "tf_serving_warmup_requests")
"""The file, relative to the version's folder."""

MAX_RECORDS = 1000


def write_warmup_requests(
    path: str | Path, model_name: str, requests: Iterable[tuple[str, Mapping[str, np.ndarray]]]
) -> int:
    """Write predict requests as a TFRecord of PredictionLog.

    Args:
        path: The file to write; its folder is made.
        model_name: Name that the model is served under.
        requests: At most `MAX_RECORDS` pairs of a signature's name and its inputs.

    Returns:
        The number of records written.

    Raises:
        ValueError: There are more requests than a server accepts.
    """
    logs = []
    for signature, inputs in requests:
        log = prediction_log_pb2.PredictionLog()
        request = log.predict_log.request
        request.model_spec.name = model_name
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(wire.encode(np.asarray(value)))
        logs.append(log.SerializeToString())
    if len(logs) > MAX_RECORDS:
        raise ValueError(f"a model has at most {MAX_RECORDS} warm-up requests, got {len(logs)}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in logs:
            writer.write(record)
    return len(logs)


def read_warmup_requests(path: str | Path) -> Iterator[prediction_log_pb2.PredictionLog]:
    """Yield the records of a file of warm-up requests.

    Raises:
        ModelNotLoadable: The file is damaged, or has more records than `MAX_RECORDS`.
    """
    try:
        records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for index, record in enumerate(records):
            if index == MAX_RECORDS:
                raise errors.ModelNotLoadable(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                )
            yield prediction_log_pb2.PredictionLog.FromString(record)
    except (tf.errors.OpError, message.DecodeError) as error:
        raise errors.ModelNotLoadable(
            f"{error}. Please verify your warmup data is in TFRecord format: {path}"
        ) from error
