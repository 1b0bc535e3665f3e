import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving import errors, wire

ARRAYS = [
    np.array([1.5, -2.25], np.float32),
    np.array([[1e300]], np.float64),
    np.array([2**62, -1], np.int64),
    np.array([-7], np.int32),
    np.array([-7], np.int16),
    np.array([-7], np.int8),
    np.array([255], np.uint8),
    np.array([True, False]),
    np.array([[b"F", b""], [b"\xc3\xa9\x00", b"M"]], object),
    np.array(3, np.int64),
    np.zeros([0, 3], np.float32),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{list(array.shape)}")
def test_tensors_are_those_of_tensorflow(array):
    encoded = wire.encode(array)
    for other in (tf.make_ndarray(encoded), wire.decode(encoded), wire.decode(tf.make_tensor_proto(array))):
        assert other.dtype == array.dtype
        assert other.shape == array.shape
        assert other.tolist() == array.tolist()


def test_values_are_in_the_typed_field():
    assert list(wire.encode(np.array([1.5, 2.0], np.float32)).float_val) == [1.5, 2.0]


@pytest.mark.parametrize("array", [np.array(["é", "F"]), np.array(["é", b"F"], object)])
def test_strings_travel_as_utf8(array):
    assert list(wire.encode(array).string_val) == ["é".encode(), b"F"]


def test_the_last_value_repeats_and_no_value_is_zero():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64, int64_val=[4, 5])
    proto.tensor_shape.dim.add(size=4)
    assert wire.decode(proto).tolist() == [4, 5, 5, 5]
    del proto.int64_val[:]
    assert wire.decode(proto).tolist() == [0, 0, 0, 0]


def _proto(shape, **fields):
    proto = tensor_pb2.TensorProto(**fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (_proto([1], dtype=types_pb2.DT_COMPLEX64), "DT_COMPLEX64 are not supported"),
        (_proto([1], dtype=9999), "number 9999 are not supported"),
        (_proto([2], dtype=types_pb2.DT_INT64, int64_val=[1, 2, 3]), "3 values for a shape of 2 elements"),
        (_proto([-1], dtype=types_pb2.DT_INT64, int64_val=[1]), r"shape must be known, got \[-1\]"),
        (_proto([1 << 40, 1 << 40], dtype=types_pb2.DT_FLOAT, float_val=[1]), "at most 16777216 elements"),
        (_proto([2], dtype=types_pb2.DT_FLOAT, tensor_content=b"abc"), "3 bytes does not fit DT_FLOAT"),
        (_proto([1], dtype=types_pb2.DT_STRING, tensor_content=b"\x01a"), "does not fit DT_STRING"),
        (_proto([1], dtype=types_pb2.DT_INT8, int_val=[300]), "out of range for int8"),
    ],
)
def test_decode_refuses(proto, message):
    with pytest.raises(errors.InvalidRequest, match=message):
        wire.decode(proto)


@pytest.mark.parametrize("array", [np.array([1], object), np.array([None], object), np.array([1j])])
def test_encode_refuses(array):
    with pytest.raises(errors.InvalidRequest):
        wire.encode(array)
