import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import errors, warmup


def test_records_are_predict_requests(tmp_path):
    path = tmp_path / warmup.REQUESTS
    requests = [("rank", {"a": np.array([1, 2])}), ("predict", {"b": np.array([b"x"], object)})]
    assert warmup.write_warmup_requests(path, "deepfm", requests) == 2
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    first, second = map(prediction_log_pb2.PredictionLog.FromString, records)
    assert first.predict_log.request.model_spec.name == "deepfm"
    assert first.predict_log.request.model_spec.signature_name == "rank"
    assert tf.make_ndarray(first.predict_log.request.inputs["a"]).tolist() == [1, 2]
    assert tf.make_ndarray(second.predict_log.request.inputs["b"]).tolist() == [b"x"]
    assert list(warmup.read_warmup_requests(path)) == [first, second]


def test_at_most_a_thousand(tmp_path):
    path = tmp_path / "requests"
    assert warmup.write_warmup_requests(path, "deepfm", [("predict", {})] * 1000) == 1000
    assert len(list(warmup.read_warmup_requests(path))) == 1000
    with pytest.raises(ValueError, match="at most 1000 warm-up requests, got 1001"):
        warmup.write_warmup_requests(path, "deepfm", [("predict", {})] * 1001)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(1001):
            writer.write(b"")
    with pytest.raises(errors.ModelNotLoadable, match=r"exceeds the maximum \(1000\)"):
        list(warmup.read_warmup_requests(path))


@pytest.mark.parametrize("damage", [b"no record at all", None])
def test_damaged_files(tmp_path, damage):
    path = tmp_path / "requests"
    if damage is None:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(b"\xff\xff\xff")
    else:
        path.write_bytes(damage)
    with pytest.raises(errors.ModelNotLoadable, match="verify your warmup data"):
        list(warmup.read_warmup_requests(path))
