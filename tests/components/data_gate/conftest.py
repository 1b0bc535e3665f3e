import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.statistics_gen.executor import tfdv  # before the rest of it can be imported

from tensorflow_data_validation.statistics import stats_impl  # isort: skip

from schema import features

_TYPES = {
    features.Dtype.INT64: pa.int64(),
    features.Dtype.FLOAT: pa.float32(),
    features.Dtype.BYTES: pa.binary(),
}


@pytest.fixture(scope="session")
def schema():
    """The reviewed schema."""
    return text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())


@pytest.fixture(scope="session")
def statistics():
    """Return TFDV's statistics of rows that are alike but for the columns given."""

    def measure(rows=100, **changes):
        columns = {
            features.GENRES: [["Drama"], ["Comedy", "War"]] * (rows // 2),
            features.GENDER: [["F"], ["M"]] * (rows // 2),
            features.AGE: [[25], [35]] * (rows // 2),
            features.OCCUPATION: [[0], [20]] * (rows // 2),
            features.ZIP: [["02139"], ["98107"]] * (rows // 2),
            features.RATING: [[3.0], [5.0]] * (rows // 2),
        }
        table = pa.RecordBatch.from_pydict(
            {
                f.name: pa.array(changes.get(f.name, values), pa.list_(_TYPES[f.dtype]))
                for f, values in columns.items()
            }
        )
        assert len(table) == rows
        return stats_impl.generate_statistics_in_memory(table, tfdv.StatsOptions())

    return measure


@pytest.fixture(scope="session")
def write_ids():
    """Write a file of examples that have a user and a movie."""

    def write(path, pairs):
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for uid, mid in pairs:
                example = tf.train.Example()
                example.features.feature[features.UID.name].int64_list.value.append(uid)
                example.features.feature[features.MID.name].int64_list.value.append(mid)
                writer.write(example.SerializeToString())

    return write
