"""Tensors as they travel: NumPy arrays to TensorProto and back, within limits.

The values are written to the typed fields (`float_val`, `int64_val`, …), which is TensorFlow Serving's
own default, so that a client may read either those or use `tf.make_ndarray`.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from serving import errors
from serving.protos import tensor_pb2, types_pb2

HOST: Final = "127.0.0.1"
MAX_MESSAGE_BYTES: Final = 64 << 20
"""Limit of one request or one answer, in bytes, set on both ends (gRPC's own default is 4 MiB)."""

MAX_ELEMENTS: Final = 16 << 20
"""Limit of one decoded tensor: a few bytes of TensorProto may claim any shape."""

_MAX_DIMENSIONS: Final = 64  # NumPy's

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
_DATA_TYPES: Final = {dtype: code for code, (_, dtype) in _FIELDS.items()}


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
    code = _DATA_TYPES[dtype]
    proto = tensor_pb2.TensorProto(dtype=code)
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
    getattr(proto, _FIELDS[code][0]).extend(values)
    return proto


def data_type(array: np.ndarray) -> str:
    """Return TensorFlow's name of an array's type, `DT_FLOAT` for one; NumPy's where it is not supported."""
    known = _DATA_TYPES.get(array.dtype)
    return array.dtype.name if known is None else _name(known)


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Decode a tensor as TensorFlow's `Tensor::FromProto` does.

    Too few values mean that the last one repeats, none means zeros, and what is left over is passed over;
    integers wrap into their type; values are looked at only where the shape has elements.

    Returns:
        An array of the tensor's shape; strings as an object array of `bytes`. It may be read-only.

    Raises:
        InvalidRequest: Type, shape and content do not fit together, or the tensor has more than
            `MAX_ELEMENTS` elements.
    """
    if proto.dtype not in _FIELDS:
        raise errors.InvalidRequest(f"tensors of type {_name(proto.dtype)} are not supported")
    field, dtype = _FIELDS[proto.dtype]
    shape = tuple([dim.size for dim in proto.tensor_shape.dim])
    if min(shape, default=0) < 0:
        raise errors.InvalidRequest(f"the shape must be known, got {list(shape)}")
    if len(shape) > _MAX_DIMENSIONS:
        raise errors.InvalidRequest(f"a tensor has at most {_MAX_DIMENSIONS} dimensions, got {len(shape)}")
    count = math.prod(shape)
    if (count or math.prod(size for size in shape if size)) > MAX_ELEMENTS:
        raise errors.InvalidRequest(f"a tensor has at most {MAX_ELEMENTS} elements, got {list(shape)}")
    if not count:
        return np.empty(shape, dtype)
    if proto.tensor_content:
        array = _from_content(proto.tensor_content, dtype, count)
        if array is None:
            raise errors.InvalidRequest(
                f"tensor_content of {len(proto.tensor_content)} bytes does not fit {_name(proto.dtype)} "
                f"of shape {list(shape)}"
            )
        return array.reshape(shape)
    return _filled(getattr(proto, field)[:count], dtype, count).reshape(shape)


def _from_content(content: bytes, dtype: np.dtype[Any], count: int) -> np.ndarray | None:
    """Return `count` values out of their bytes, or None where those do not fit."""
    if dtype.kind == "O":
        return _strings(content, count)
    if len(content) != count * dtype.itemsize:
        return None
    # NumPy would keep a boolean of 2, which is neither true nor false.
    if dtype.kind == "b" and content.translate(None, b"\x00\x01"):
        return None
    return np.frombuffer(content, dtype)


def _strings(content: bytes, count: int) -> np.ndarray | None:
    """Return `count` strings: their lengths come first, as varints of at most 32 bits, then their bytes."""
    position, lengths = 0, []
    for _ in range(count):
        length = shift = 0
        while True:
            if position == len(content) or shift > 28:
                return None
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        return None
    array = np.empty(count, object)
    for index, length in enumerate(lengths):
        array[index] = content[position : position + length]
        position += length
    return array


def _filled(values: Sequence[Any], dtype: np.dtype[Any], count: int) -> np.ndarray:
    """Return `count` values, the last of `values` repeated."""
    if not values:
        return np.full(count, b"" if dtype.kind == "O" else 0, dtype)
    # What travels as 32 bits wraps into fewer.
    array = np.array(values, np.int32 if dtype.kind in "iu" and dtype.itemsize < 4 else dtype).astype(
        dtype, copy=False
    )
    if len(values) == count:
        return array
    return np.concatenate([array, np.full(count - len(values), array[-1], dtype)])


def _name(code: int) -> str:
    known = types_pb2.DataType.values()
    return types_pb2.DataType.Name(code) if code in known else f"number {code}"
