"""The JSON of TensorFlow Serving's REST API: request bodies to protos, answers to text.

Format, messages and even the white space follow TensorFlow Serving's own `json_tensor`
(https://www.tensorflow.org/tfx/serving/api_rest). `NaN`, `Infinity` and `-Infinity` are numbers there.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, predict_pb2, regression_pb2

from serving import errors, wire

_SIGNATURE_NAME, _INSTANCES, _INPUTS = "signature_name", "instances", "inputs"
_CONTEXT, _EXAMPLES = "context", "examples"
_BASE64 = "b64"
_BYTES_SUFFIX = "_bytes"
"""Outputs whose name ends so hold binary strings, which are answered in base64."""

_INDENT = "    "
_MAX_QUOTED = 256  # characters of a request's JSON that an error repeats
_MAX_RANK = 64  # NumPy's
_JSON_TYPES = {
    type(None): "Null",
    bool: "Bool",
    int: "Number",
    float: "Number",
    str: "String",
    list: "Array",
    dict: "Object",
}
_TENSOR_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}
_INT_BITS = {
    types_pb2.DT_INT64: 64,
    types_pb2.DT_INT32: 32,
    types_pb2.DT_INT16: 32,
    types_pb2.DT_INT8: 32,
    types_pb2.DT_UINT8: 32,
}
_FLOATS: dict[int, tuple[str, Any, int]] = {  # name, NumPy's type, digits that always read back as the value
    types_pb2.DT_FLOAT: ("float", np.float32, 9),
    types_pb2.DT_DOUBLE: ("double", np.float64, 17),
}


def parse(body: bytes) -> dict[str, Any]:
    """Read a request's body.

    Raises:
        InvalidRequest: It is no JSON, or no object.
    """
    if not body:
        raise errors.InvalidRequest("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text)
        if "\\u" in text:
            # Half of a surrogate pair, anywhere in it, can be written as an escape but is no text.
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise errors.InvalidRequest(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except UnicodeEncodeError as error:
        raise errors.InvalidRequest("JSON Parse error: The surrogate pair in string is invalid.") from error
    # Text that is not UTF-8, or an integer of thousands of digits.
    except ValueError as error:
        raise errors.InvalidRequest(f"JSON Parse error: {error}") from error
    except RecursionError as error:
        raise errors.InvalidRequest("JSON Parse error: nested too deeply") from error
    if not isinstance(document, dict):
        raise errors.InvalidRequest(f"JSON Value: {_quoted(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the signature that a request asks for, or "" for the default.

    Raises:
        InvalidRequest: Its name is no string.
    """
    name = document.get(_SIGNATURE_NAME, "")
    if not isinstance(name, str):
        raise errors.InvalidRequest(
            f"JSON Value: {_quoted(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def fill_inputs(
    document: Mapping[str, Any],
    infos: Mapping[str, meta_graph_pb2.TensorInfo],
    request: predict_pb2.PredictRequest,
) -> bool:
    """Fill in the tensors of a predict request.

    Args:
        document: The request's body.
        infos: The inputs of the signature.
        request: Gets the tensors.

    Returns:
        Whether the request is in row format, and so wants the answer in it.

    Raises:
        InvalidRequest: The body does not fit the signature.
    """
    if _INSTANCES in document and _INPUTS in document:
        raise errors.InvalidRequest(
            f"JSON Value: {_quoted(document)} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if _INPUTS in document:
        _fill_columns(document[_INPUTS], infos, request)
        return False
    if _INSTANCES not in document:
        raise errors.InvalidRequest("Missing 'inputs' or 'instances' key")
    instances = document[_INSTANCES]
    if not isinstance(instances, list):
        raise errors.InvalidRequest(
            f"JSON Value: {_quoted(document)} Excepting 'instances' to be an list/array"
        )
    if not instances:
        raise errors.InvalidRequest(f"JSON Value: {_quoted(document)} No values in 'instances' array")
    _fill_rows(instances, infos, request)
    return True


def fill_examples(document: Mapping[str, Any], request_input: input_pb2.Input) -> None:
    """Fill in the examples of a classify or regress request.

    Raises:
        InvalidRequest: The body holds no examples, or a feature of a wrong type.
    """
    examples = document.get(_EXAMPLES)
    if _EXAMPLES not in document:
        raise errors.InvalidRequest(
            f"JSON Value: {_quoted(document)} When method is classify, key 'examples' is expected and was "
            "not found"
        )
    if not isinstance(examples, list):
        raise errors.InvalidRequest(
            f"JSON Value: {_quoted(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise errors.InvalidRequest(f"JSON Value: {_quoted(document)} 'examples' value is an empty array")
    if _CONTEXT in document:
        request_input.example_list_with_context.context.CopyFrom(_example(document[_CONTEXT]))
        request_input.example_list_with_context.examples.extend(map(_example, examples))
    else:
        request_input.example_list.examples.extend(map(_example, examples))


def predict_json(outputs: Mapping[str, tensor_pb2.TensorProto], *, row: bool) -> str:
    """Write the answer to a predict request.

    Args:
        outputs: The tensors by name.
        row: Whether to write it in row format, where all of them have one first dimension.

    Raises:
        InvalidRequest: There is no such dimension.
    """
    tensors = {name: wire.decode(outputs[name]) for name in sorted(outputs)}
    leaves = {name: _leaves(name, outputs[name].dtype, tensors[name]) for name in tensors}
    if not row:
        if len(tensors) == 1:
            ((name, tensor),) = tensors.items()
            written = _array(leaves[name], tensor.shape, 1, single_line=False)
        else:
            written = _object(
                {
                    name: _array(leaves[name], tensor.shape, 2, single_line=False)
                    for name, tensor in tensors.items()
                },
                1,
            )
        return _object({"outputs": written}, 0)
    size = _batch_size(tensors)
    if len(tensors) == 1:
        ((name, tensor),) = tensors.items()
        rows = [_array(leaves[name], tensor.shape[1:], 2, single_line=True) for _ in range(size)]
        written = f"[{', '.join(rows)}\n{_INDENT}]" if rows else "[]"
    else:
        written = _list(
            [
                _object(
                    {
                        name: _array(leaves[name], tensor.shape[1:], 3, single_line=True)
                        for name, tensor in tensors.items()
                    },
                    2,
                )
                for _ in range(size)
            ],
            1,
        )
    return _object({"predictions": written}, 0)


def classify_json(result: classification_pb2.ClassificationResult) -> str:
    """Write the answer to a classify request: a list of labels and scores for each example."""
    written = []
    for classifications in result.classifications:
        scores = _decimals(np.array([each.score for each in classifications.classes], np.float32))
        pairs = [
            f"[{_string(each.label)}, {score}]"
            for each, score in zip(classifications.classes, scores, strict=True)
        ]
        written.append(f"[{', '.join(pairs)}]")
    return _object({"results": f"[{', '.join(written)}\n{_INDENT}]"}, 0)


def regress_json(result: regression_pb2.RegressionResult) -> str:
    """Write the answer to a regress request: a value for each example."""
    values = _decimals(np.array([each.value for each in result.regressions], np.float32))
    return _object({"results": f"[{', '.join(values)}]"}, 0)


def error_json(message: str) -> str:
    """Write the answer to a request that fails."""
    return _object({"error": _string(message)}, 0)


def _fill_rows(
    instances: list[Any],
    infos: Mapping[str, meta_graph_pb2.TensorInfo],
    request: predict_pb2.PredictRequest,
) -> None:
    if len(infos) > 1 and not isinstance(instances[0], dict):
        raise errors.InvalidRequest(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as "
            "per tensorinfo_map"
        )
    names = sorted(infos)
    objects = _is_object(instances[0])
    shapes: dict[str, list[int]] = {}
    values: dict[str, list[Any]] = {name: [] for name in names}
    for index, instance in enumerate(instances):
        where = f"Failed to process element: {index}"
        if _is_object(instance) != objects:
            expected = "object but got list" if objects else "value/list but got object"
            raise errors.InvalidRequest(f"Expecting {expected} at item {index} of input list")
        for name, value in instance.items() if objects else ((names[0], instance),):
            key = f" key: {_clipped(name)}" if objects else ""
            if name not in infos:
                raise errors.InvalidRequest(
                    f"{where}{key} of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have "
                    f"named input: {_clipped(name)}"
                )
            try:
                shape = _shape(value)
                before = len(values[name])
                _fill(value, 0, shape, infos[name].dtype, values[name])
                _check_same(shapes.setdefault(name, shape), shape, len(values[name]) - before)
            except errors.InvalidRequest as error:
                raise errors.InvalidRequest(
                    f"{where}{key} of 'instances' list. Error: INVALID_ARGUMENT: {error}"
                ) from error
        if objects and instance.keys() != infos.keys():
            raise errors.InvalidRequest(
                f"{where} of 'instances' list. JSON object: {_quoted(instance)} keys must be equal to: "
                f"{','.join(names)}"
            )
    for name, shape in shapes.items():
        _set_tensor(request.inputs[name], infos[name].dtype, [len(instances), *shape], values[name])


def _fill_columns(
    inputs: Any, infos: Mapping[str, meta_graph_pb2.TensorInfo], request: predict_pb2.PredictRequest
) -> None:
    if not _is_object(inputs):
        if len(infos) > 1:
            raise errors.InvalidRequest(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required "
                "as per tensorinfo_map"
            )
        inputs = dict.fromkeys(infos, inputs)
    for name, info in infos.items():
        if name not in inputs:
            raise errors.InvalidRequest(f"Missing named input: {name} in 'inputs' object.")
        values: list[Any] = []
        shape = _shape(inputs[name])
        _fill(inputs[name], 0, shape, info.dtype, values)
        _set_tensor(request.inputs[name], info.dtype, shape, values)


def _set_tensor(tensor: tensor_pb2.TensorProto, dtype: int, shape: Sequence[int], values: list[Any]) -> None:
    if len(shape) > _MAX_RANK:
        raise errors.InvalidRequest(f"a tensor has at most {_MAX_RANK} dimensions, got {len(shape)}")
    tensor.dtype = dtype  # type: ignore[assignment]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, _TENSOR_FIELDS[dtype]).extend(values)


def _shape(value: Any) -> list[int]:
    """Return the shape that the first element of each list tells."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _fill(value: Any, level: int, shape: Sequence[int], dtype: int, values: list[Any]) -> None:
    """Append the leaves of nested lists, which must have `shape`."""
    if not isinstance(value, list):
        if level != len(shape):
            raise errors.InvalidRequest(
                f"JSON Value: {_quoted(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise errors.InvalidRequest(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise errors.InvalidRequest(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for each in value:
        _fill(each, level + 1, shape, dtype, values)


def _leaf(value: Any, dtype: int) -> Any:
    """Return one value as a tensor's field takes it."""
    if dtype not in _TENSOR_FIELDS:
        raise errors.InvalidRequest(f"Conversion of JSON Value: {_quoted(value)} to type: {_name(dtype)}")
    if dtype == types_pb2.DT_STRING:
        if isinstance(value, dict):
            return _from_base64(value)
        if isinstance(value, str):
            return value.encode()
    elif dtype == types_pb2.DT_BOOL:
        if isinstance(value, bool):
            return value
    elif dtype in _INT_BITS:
        if _is_int(value) and -(1 << (_INT_BITS[dtype] - 1)) <= value < 1 << (_INT_BITS[dtype] - 1):
            return value
    elif _is_int(value) or isinstance(value, float):
        return _checked_float(value, dtype)
    raise errors.InvalidRequest(
        f"JSON Value: {_quoted(value)} Type: {_JSON_TYPES[type(value)]} is not of expected type: "
        f"{_name(dtype)}"
    )


def _checked_float(value: float, dtype: int) -> float:
    """Return a number that the type can hold."""
    name, dtype_class, _ = _FLOATS[dtype]
    finfo = np.finfo(dtype_class)
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        fits = abs(value) < 1 << (finfo.nmant + 1)
    else:
        fits = not math.isfinite(value) or abs(value) <= float(finfo.max)
    if not fits:
        raise errors.InvalidRequest(
            f"Cannot convert JSON value: {_quoted(value)} to {name} without loss of precision."
        )
    return float(value)


def _check_same(first: list[int], shape: list[int], count: int) -> None:
    """Refuse an instance whose tensor is not as the first instance's."""
    if math.prod(first) != count:
        raise errors.InvalidRequest(f"Expecting tensor size: {math.prod(first)} but got: {count}")
    if first != shape:
        expected, got = (f"[{','.join(map(str, sizes))}]" for sizes in (first, shape))
        raise errors.InvalidRequest(f"Expecting shape {expected} but got: {got}")


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise errors.InvalidRequest(f"Example must be JSON object but got JSON {_JSON_TYPES[type(value)]}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for each in content if isinstance(content, list) else [content]:
            _add_to_feature(each, name, feature)
    return example


def _add_to_feature(value: Any, name: str, feature: feature_pb2.Feature) -> None:
    added: Any
    if isinstance(value, str):
        kind, added = "bytes_list", value.encode()
    elif isinstance(value, dict) and not _is_object(value):
        kind, added = "bytes_list", _from_base64(value)
    elif isinstance(value, float):
        kind, added = "float_list", _checked_float(value, types_pb2.DT_FLOAT)
    elif isinstance(value, int):
        kind, added = "int64_list", int(value)
    else:
        raise errors.InvalidRequest(
            f"Feature: {_clipped(name)} has element with unexpected JSON type: {_JSON_TYPES[type(value)]}"
        )
    if kind == "int64_list" and not -(1 << 63) <= added < 1 << 63:
        raise errors.InvalidRequest(f"Feature: {_clipped(name)} has uint64 element. Only int64 is supported.")
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        raise errors.InvalidRequest(
            f"Unexpected element type in feature: {_clipped(name)} expecting type: "
            f"{before.removesuffix('_list')}"
        )
    getattr(feature, kind).value.append(added)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    """Return whether it is an object that stands for no binary string."""
    return isinstance(value, dict) and not (value.keys() == {_BASE64} and isinstance(value[_BASE64], str))


def _from_base64(value: dict[str, Any]) -> bytes:
    if _is_object(value):
        raise errors.InvalidRequest(f"JSON Value: {_quoted(value)} not formatted correctly for base64 data")
    try:
        # Padding may be left out.
        return base64.b64decode(value[_BASE64] + "=" * (-len(value[_BASE64]) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.InvalidRequest("Unable to base64 decode") from error


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "…"


def _quoted(value: Any) -> str:
    """Return a value's JSON for an error, so much of it as helps."""
    return _clipped(json.dumps(value))


def _name(dtype: int) -> str:
    known = types_pb2.DataType.values()
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower() if dtype in known else f"number {dtype}"


def _batch_size(tensors: Mapping[str, np.ndarray]) -> int:
    size: int | None = None
    for name, tensor in tensors.items():
        if not tensor.shape:
            raise errors.InvalidRequest(f"Tensor name: {name} has no shape information ")
        if size not in (None, tensor.shape[0]):
            raise errors.InvalidRequest(
                f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} expecting: {size}"
            )
        size = tensor.shape[0]
    assert size is not None
    return size


def _leaves(name: str, dtype: int, tensor: np.ndarray) -> Iterator[str | bytes]:
    """Yield the values as JSON; `bytes` are still to be written as base64."""
    if dtype in _FLOATS:
        return iter(_decimals(tensor.ravel()))
    values = tensor.ravel().tolist()
    if dtype != types_pb2.DT_STRING:
        return iter([json.dumps(value) for value in values])
    if name.endswith(_BYTES_SUFFIX):
        return iter(values)
    # A string that is no UTF-8 goes out as it is.
    return iter([_string(value.decode(errors="surrogateescape")) for value in values])


def _decimals(values: np.ndarray) -> list[str]:
    """Write floats with six digits where those read back as the same value, else with all."""
    digits = next(digits for _, dtype, digits in _FLOATS.values() if dtype == values.dtype)
    exact = values.astype(float).tolist()
    written = [f"{value:.6g}" for value in exact]
    with np.errstate(over="ignore"):
        same = np.array([float(text) for text in written]).astype(values.dtype) == values
    return [
        _decimal(value, text if is_same else f"{value:.{digits}g}")
        for value, text, is_same in zip(exact, written, same.tolist(), strict=True)
    ]


def _decimal(value: float, text: str) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return text if "." in text or "e" in text else f"{text}.0"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _array(leaves: Iterator[str | bytes], shape: Sequence[int], level: int, *, single_line: bool) -> str:
    """Write the next leaves as nested lists that are `level` deep in the answer."""
    if not shape:
        leaf = next(leaves)
        if isinstance(leaf, bytes):
            return _object({_BASE64: _string(base64.b64encode(leaf).decode())}, level)
        return leaf
    items = [_array(leaves, shape[1:], level + 1, single_line=single_line) for _ in range(shape[0])]
    return f"[{', '.join(items)}]" if single_line else _list(items, level)


def _list(items: Iterable[str], level: int) -> str:
    return _block("[", items, "]", level)


def _object(members: Mapping[str, str], level: int) -> str:
    return _block("{", [f"{_string(name)}: {value}" for name, value in members.items()], "}", level)


def _block(start: str, items: Iterable[str], end: str, level: int) -> str:
    inner = "\n" + _INDENT * (level + 1)
    written = f",{inner}".join(items)
    return f"{start}{inner}{written}\n{_INDENT * level}{end}" if written else start + end
