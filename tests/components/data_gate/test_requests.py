"""Requests that a real server logged, and files as a server that was killed leaves them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable.data_types import ExecutionInfo

from components.data_gate import requests
from components.data_gate.driver import REQUESTS_FINGERPRINT, Driver
from schema import features
from serving import request_log, wire

USERS = {
    features.UID.name: np.array([1, 2]),
    features.GENDER.name: np.array([b"F", b""], object),
    features.AGE.name: np.array([25, -1]),
    features.OCCUPATION.name: np.array([3, 4]),
    features.ZIP.name: np.array([b"", b"02139"], object),
    features.TIMESTAMP.name: np.array([1046454591, 1046454592]),  # says nothing of users, and is not read
}
MOVIES = {
    features.MID.name: np.array([10, 20]),
    features.GENRES.name: np.array([[b"Drama", b""], [b"Comedy", b"War"]], object),
}


def record(signature, inputs):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "deepfm", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(wire.encode(value))
    return log.SerializeToString()


def example():
    found = tf.train.Example()
    values = found.features.feature
    values[features.UID.name].int64_list.value.append(7)
    values[features.GENDER.name].bytes_list.value.append(b"M")
    values[features.TIMESTAMP.name].int64_list.value.append(1046454593)
    values[features.GENRES.name].bytes_list.value.extend([b"War", b"Drama"])
    return found.SerializeToString()


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving" / "deepfm"


@pytest.fixture
def write(serving):
    """Write the records of a file of the log."""

    def run(name, *records):
        prefix = request_log.prefix(serving)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        path = prefix.with_name(f"{prefix.name}-{name}{request_log.SUFFIX}")
        with tf.io.TFRecordWriter(str(path)) as writer:
            for one in records:
                writer.write(one)
        return path

    return run


def counts(logged):
    """How many rows have each feature, and how often each value of a string is there."""
    (dataset,) = logged.statistics.datasets
    present, values = {}, {}
    for feature in dataset.features:
        name = feature.path.step[0]
        kind = getattr(feature, feature.WhichOneof("stats"))
        present[name] = kind.common_stats.num_non_missing
        if feature.HasField("string_stats"):
            values[name] = {b.label: int(b.sample_count) for b in feature.string_stats.rank_histogram.buckets}
    return present, values


def test_pairs_examples_and_the_users_of_rankings_are_rows(serving, write):
    one = {name: array[:1] for name, array in USERS.items()}
    write("1", record("predict", USERS | MOVIES), record("rank", one | MOVIES))
    write("2", record("serving_default", {"examples": np.array([example()], object)}))
    logged = requests.read(str(serving))
    assert logged.rows == 2 + 1 + 1
    present, values = counts(logged)
    assert present == {
        features.UID.name: 4,
        features.MID.name: 2,
        features.GENDER.name: 3,
        features.AGE.name: 2,
        features.OCCUPATION.name: 3,
        features.ZIP.name: 1,
        features.GENRES.name: 3,
    }
    assert values[features.GENDER.name] == {"F": 2, "M": 1}
    assert values[features.GENRES.name] == {"Drama": 2, "War": 2, "Comedy": 1}
    assert values[features.ZIP.name] == {"02139": 1}


def test_what_a_killed_server_left_unfinished_is_passed_over(serving, write):
    path = write("1", record("predict", USERS | MOVIES), record("predict", USERS | MOVIES))
    path.write_bytes(path.read_bytes()[:-10])
    write("2", b"no PredictionLog")
    assert requests.read(str(serving)).rows == 2


@pytest.mark.parametrize(
    ("most", "genders", "zips"),
    [
        (2, {"M": 2}, {}),
        (3, {"M": 3}, {}),
        (4, {"M": 3}, {"02139": 1}),
        (6, {"M": 3, "F": 1}, {"02139": 2}),
        (9, {"M": 3, "F": 2}, {"02139": 2}),
    ],
)
def test_the_newest_rows_are_read(serving, write, monkeypatch, most, genders, zips):
    monkeypatch.setattr(requests, "MAX_ROWS", most)
    older = record("predict", USERS | MOVIES)
    newer = record("serving_default", {"examples": np.array([example()], object)})
    write("1", older)
    write("2", older, newer, newer, newer)
    logged = requests.read(str(serving))
    values = counts(logged)[1]
    assert logged.rows == min(most, 7)
    assert (values[features.GENDER.name], values.get(features.ZIP.name, {})) == (genders, zips)


def test_rankings_alone_say_nothing_of_movies(serving, write):
    one = {name: array[:1] for name, array in USERS.items()}
    write("1", record("rank", one | MOVIES))
    present, _ = counts(requests.read(str(serving)))
    assert present == {
        features.UID.name: 1,
        features.GENDER.name: 1,
        features.AGE.name: 1,
        features.OCCUPATION.name: 1,
        features.ZIP.name: 0,
    }


def test_nothing_logged_is_no_row(serving):
    assert requests.read(str(serving)).rows == 0
    assert requests.fingerprint(str(serving)) == ""


def test_another_logged_request_makes_the_node_run_again(serving, write, tmp_path):
    handle = metadata.Metadata(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db")))

    def drive():
        info = ExecutionInfo(input_dict={}, exec_properties={"serving_dir": str(serving)})
        return Driver(handle).run(info).exec_properties[REQUESTS_FINGERPRINT].string_value

    assert drive() == ""
    write("1", record("predict", USERS))
    first = drive()
    assert len(first) == 64
    assert drive() == first
    write("2", record("predict", USERS))
    assert drive() != first


def test_a_request_that_cannot_be_read_is_passed_over(serving, write):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(predict_pb2.PredictRequest())
    log.predict_log.request.inputs[features.UID.name].dtype = 9999
    write("1", log.SerializeToString(), record("predict", USERS | MOVIES))
    assert requests.read(str(serving)).rows == 2
