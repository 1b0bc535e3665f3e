"""Tensors as they travel: NumPy arrays to TensorProto and back, within limits.

The values are written to the typed fields (`float_val`, `int64_val`, …), which is TensorFlow Serving's
own default, so that a client may read either those or use `tf.make_ndarray`.
"""

import math
from typing import Any, Final

import numpy as np

from serving import errors
from serving.protos import tensor_pb2, types_pb2

HOST: Final = "127.0.0.1"
MAX_MESSAGE_BYTES: Final = 64 << 20
"""Limit of one request or one answer, in bytes, set on both ends (gRPC's own default is 4 MiB)."""

MAX_ELEMENTS: Final = 16 << 20
"""Limit of one decoded tensor: a few bytes of TensorProto may claim any shape."""

MESSAGE_SIZE_OPTIONS: Final = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)

_FIELDS: Final[dict[int, tuple[str, np.dtype[Any]]]] = {
    types_pb2.DT_FLOAT: ("float_val", np.dtype("<f4")),
    types_pb2.DT_DOUBLE: ("double_val", np.dtype("<f8")),
    types_pb2.DT_INT64: ("int64_val", np.dtype("<i8")),
    types_pb2.DT_INT32: ("int_val", np.dtype("<i4")),
    types_pb2.DT_INT16: ("int_val", np.dtype("<i2")),
    types_pb2.DT_INT8: ("int_val", np.dtype("i1")),
    types_pb2.DT_UINT8: ("int_val", np.dtype("u1")),
    types_pb2.DT_BOOL: ("bool_val", np.dtype("?")),
    types_pb2.DT_STRING: ("string_val", np.dtype("O")),
}
_DATA_TYPES: Final = {dtype: data_type for data_type, (_, dtype) in _FIELDS.items()}


def encode(array: np.ndarray) -> tensor_pb2.TensorProto:
    """Encode an array.

    Args:
        array: Numbers, booleans or strings (`bytes` or `str`, in any of NumPy's ways to hold them), of
            any shape.

    Raises:
        InvalidRequest: The type is none of TensorFlow's that are supported here, or an array of
            objects holds something else than strings.
    """
    dtype = np.dtype("O") if array.dtype.kind in "SU" else array.dtype
    if dtype not in _DATA_TYPES:
        raise errors.InvalidRequest(f"no tensor can be made of an array of {array.dtype}")
    data_type = _DATA_TYPES[dtype]
    proto = tensor_pb2.TensorProto(dtype=data_type)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values: list[Any] = array.ravel().tolist()
    if dtype.kind == "O":
        try:
            values = [
                value.encode() if isinstance(value, str) else bytes(memoryview(value)) for value in values
            ]
        except TypeError as error:
            raise errors.InvalidRequest(f"a tensor of strings holds bytes or str only: {error}") from error
    getattr(proto, _FIELDS[data_type][0]).extend(values)
    return proto


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Decode a tensor as TensorFlow does: too few values means that the last one repeats.

    Returns:
        An array of the tensor's shape; strings as an object array of `bytes`. It may be read-only.

    Raises:
        InvalidRequest: Type, shape and values do not fit together, or the tensor has more than
            `MAX_ELEMENTS` elements.
    """
    if proto.dtype not in _FIELDS:
        raise errors.InvalidRequest(f"tensors of type {_name(proto.dtype)} are not supported")
    field, dtype = _FIELDS[proto.dtype]
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise errors.InvalidRequest(f"the shape must be known, got {list(shape)}")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise errors.InvalidRequest(f"a tensor has at most {MAX_ELEMENTS} elements, got {count}")
    if proto.tensor_content:
        if dtype.kind == "O" or len(proto.tensor_content) != count * dtype.itemsize:
            raise errors.InvalidRequest(
                f"tensor_content of {len(proto.tensor_content)} bytes does not fit {_name(proto.dtype)} "
                f"of shape {list(shape)}"
            )
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    return _filled(list(getattr(proto, field)), dtype, count).reshape(shape)


def _filled(values: list[Any], dtype: np.dtype[Any], count: int) -> np.ndarray:
    """Return `count` values, the last of `values` repeated."""
    if len(values) > count:
        raise errors.InvalidRequest(f"{len(values)} values for a shape of {count} elements")
    try:
        given = np.array(values, dtype)
    except OverflowError as error:
        raise errors.InvalidRequest(f"a value is out of range for {dtype}") from error
    if len(values) == count:
        return given
    array = np.full(count, b"" if dtype.kind == "O" else 0, dtype)
    if values:
        array[: len(values)] = given
        array[len(values) :] = given[-1]
    return array


def _name(data_type: int) -> str:
    known = types_pb2.DataType.values()
    return types_pb2.DataType.Name(data_type) if data_type in known else f"number {data_type}"
