import random

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
        (_proto([-1], dtype=types_pb2.DT_INT64, int64_val=[1]), r"shape must be known, got \[-1\]"),
        (_proto([1 << 40, 1 << 40], dtype=types_pb2.DT_FLOAT, float_val=[1]), "at most 16777216 elements"),
        (_proto([0, 1 << 40], dtype=types_pb2.DT_FLOAT), "at most 16777216 elements"),
        (_proto([1] * 65, dtype=types_pb2.DT_FLOAT), "at most 64 dimensions, got 65"),
        (_proto([2], dtype=types_pb2.DT_FLOAT, tensor_content=b"abc"), "3 bytes does not fit DT_FLOAT"),
        (_proto([1], dtype=types_pb2.DT_STRING, tensor_content=b"\x02a"), "does not fit DT_STRING"),
        (_proto([1], dtype=types_pb2.DT_STRING, tensor_content=b"\x81"), "does not fit DT_STRING"),
        (_proto([1], dtype=types_pb2.DT_BOOL, tensor_content=b"\x02"), "1 bytes does not fit DT_BOOL"),
    ],
)
def test_decode_refuses(proto, message):
    with pytest.raises(errors.InvalidRequest, match=message):
        wire.decode(proto)


@pytest.mark.parametrize("array", [np.array([1], object), np.array([None], object), np.array([1j])])
def test_encode_refuses(array):
    with pytest.raises(errors.InvalidRequest):
        wire.encode(array)


def _draw(random):
    """A tensor that may or may not fit together."""
    proto = _proto(
        [random.choice((0, 1, 1, 2, 3, -1)) for _ in range(random.choice((0, 1, 1, 2)))],
        dtype=random.choice([*wire._FIELDS, types_pb2.DT_INVALID]),
    )
    proto.tensor_shape.unknown_rank = random.random() < 0.1
    if random.random() < 0.5:
        size = random.choice((1, 2, 4, 8, 12, 16))
        proto.tensor_content = bytes(random.choice((0, 0, 1, 1, 2, 5, 0x80)) for _ in range(size))
    count = random.randrange(4)
    for field, values in (
        ("float_val", (0.5, -2.0)),
        ("double_val", (0.1, 1e300)),
        ("int_val", (0, -1, 300, 70_000, -(1 << 31))),
        ("int64_val", (7, -(1 << 63))),
        ("bool_val", (True, False)),
        ("string_val", (b"", b"ab", b"\xff")),
    ):
        getattr(proto, field).extend(random.choice(values) for _ in range(count))
    return proto


def test_drawn_tensors_are_decoded_or_refused_as_tensorflow_does():
    generator = random.Random(0)
    refused = 0
    for _ in range(2_000):
        proto = _draw(generator)
        try:
            expected = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype or tf.float32).numpy()
        except tf.errors.InvalidArgumentError:
            refused += 1
            with pytest.raises(errors.InvalidRequest):
                wire.decode(proto)
            continue
        decoded = wire.decode(proto)
        assert decoded.shape == np.shape(expected)
        # Of equal bits, since content may be no number at all.
        expected = np.asarray(expected, decoded.dtype)
        if decoded.dtype.kind == "O":
            assert decoded.tolist() == expected.tolist()
        else:
            assert decoded.tobytes() == expected.tobytes()
    assert 500 < refused < 1_500
