"""Literal JSON and literal tensors, and TensorFlow Serving's own words where they do not fit."""

import json

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, predict_pb2, regression_pb2

from serving import errors, wire
from serving.server import json_tensor


def _infos(**dtypes):
    return {
        name: meta_graph_pb2.TensorInfo(dtype=types_pb2.DataType.Value(f"DT_{dtype}"))
        for name, dtype in dtypes.items()
    }


def _filled(text, **dtypes):
    request = predict_pb2.PredictRequest()
    document = json_tensor.parse(text if isinstance(text, bytes) else text.encode())
    row = json_tensor.fill_inputs(document, _infos(**dtypes), request)
    return {name: wire.decode(tensor).tolist() for name, tensor in request.inputs.items()}, row


def _outputs(**arrays):
    return {name: wire.encode(np.asarray(array)) for name, array in arrays.items()}


@pytest.mark.parametrize(
    ("body", "dtypes", "expected"),
    [
        ('{"instances": [1, 2, 3]}', {"x": "INT64"}, {"x": [1, 2, 3]}),
        ('{"instances": [[[1, 2]], [[3, 4]]]}', {"x": "FLOAT"}, {"x": [[[1.0, 2.0]], [[3.0, 4.0]]]}),
        (
            '{"instances": [{"a": 1, "b": ["x", "y"]}, {"b": ["z", ""], "a": 2}]}',
            {"a": "INT64", "b": "STRING"},
            {"a": [1, 2], "b": [[b"x", b"y"], [b"z", b""]]},
        ),
        ('{"instances": [{"b64": "/wA="}, "é"]}', {"x": "STRING"}, {"x": [b"\xff\x00", "é".encode()]}),
        ('{"instances": [{"x": {"b64": "/wA"}}]}', {"x": "STRING"}, {"x": [b"\xff\x00"]}),
        ('{"instances": [[], []]}', {"x": "INT64"}, {"x": [[], []]}),
        (
            '{"instances": [9223372036854775807, -9223372036854775808]}',
            {"x": "INT64"},
            {"x": [2**63 - 1, -(2**63)]},
        ),
        ('{"inputs": 2.5}', {"x": "FLOAT"}, {"x": 2.5}),
        (r'{"inputs": "\ud83d\ude00"}', {"x": "STRING"}, {"x": "😀".encode()}),
        ('{"inputs": [true, false]}', {"x": "BOOL"}, {"x": [True, False]}),
        ('{"inputs": {"b64": "AA=="}}', {"x": "STRING"}, {"x": b"\x00"}),
        (
            '{"inputs": {"a": [1], "b": [[2.5, 3]], "more": "is passed over"}}',
            {"a": "INT32", "b": "DOUBLE"},
            {"a": [1], "b": [[2.5, 3.0]]},
        ),
    ],
)
def test_tensors(body, dtypes, expected):
    assert _filled(body, **dtypes) == (expected, "instances" in body)


def test_numbers_that_json_has_not():
    (value,) = _filled('{"inputs": [NaN, Infinity, -Infinity, 1e3, 16777215]}', x="FLOAT")[0].values()
    assert np.isnan(value[0])
    assert value[1:] == [np.inf, -np.inf, 1000.0, 16777215.0]


@pytest.mark.parametrize(
    ("body", "dtypes", "message"),
    [
        ("", {"x": "INT64"}, "JSON Parse error: The document is empty"),
        ("{", {"x": "INT64"}, "JSON Parse error: Expecting property name enclosed in double quotes"),
        (b'{"\xff": 1}', {"x": "INT64"}, "JSON Parse error: 'utf-8' codec can't decode byte 0xff"),
        ("[" * 100_000, {"x": "INT64"}, "JSON Parse error: nested too deeply"),
        ("[1]", {"x": "INT64"}, "JSON Value: [1] Is not object"),
        ("{}", {"x": "INT64"}, "Missing 'inputs' or 'instances' key"),
        (
            '{"inputs": 1, "instances": 1}',
            {"x": "INT64"},
            'JSON Value: {"inputs": 1, "instances": 1} Not formatted correctly expecting only one of '
            "'inputs' or 'instances' keys to exist",
        ),
        ('{"instances": 1}', {"x": "INT64"}, "Excepting 'instances' to be an list/array"),
        ('{"instances": []}', {"x": "INT64"}, "No values in 'instances' array"),
        (
            '{"instances": [1]}',
            {"a": "INT64", "b": "INT64"},
            "instances is a plain list, but expecting list of objects as multiple input tensors required",
        ),
        (
            '{"instances": [{"a": 1}, {"b": 2, "a": 1}]}',
            {"a": "INT64", "b": "INT64"},
            "Failed to process element: 0 of 'instances' list. JSON object: {\"a\": 1} keys must be equal "
            "to: a,b",
        ),
        (
            '{"instances": [{"a": 1, "c": 1}]}',
            {"a": "INT64"},
            "Failed to process element: 0 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: "
            "does not have named input: c",
        ),
        (
            '{"instances": [{"a": 1}, 2]}',
            {"a": "INT64"},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances": [1, {"a": 1}]}',
            {"a": "INT64"},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            '{"instances": [[1], [1, 2]]}',
            {"a": "INT64"},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor "
            "size: 1 but got: 2",
        ),
        (
            '{"instances": [[1], [[1]]]}',
            {"a": "INT64"},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [1] "
            "but got: [1,1]",
        ),
        (
            '{"inputs": [[1], 2]}',
            {"a": "INT64"},
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            '{"inputs": [1, [2]]}',
            {"a": "INT64"},
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            '{"inputs": [[1], [2, 3]]}',
            {"a": "INT64"},
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            '{"inputs": [1]}',
            {"a": "INT64", "b": "INT64"},
            "inputs is a plain value/list, but expecting an object as multiple input tensors required",
        ),
        ('{"inputs": {"a": 1}}', {"a": "INT64", "b": "INT64"}, "Missing named input: b in 'inputs' object."),
        ('{"inputs": 1.0}', {"x": "INT64"}, "JSON Value: 1.0 Type: Number is not of expected type: int64"),
        ('{"inputs": true}', {"x": "INT64"}, "JSON Value: true Type: Bool is not of expected type: int64"),
        (
            '{"inputs": 9223372036854775808}',
            {"x": "INT64"},
            "JSON Value: 9223372036854775808 Type: Number is not of expected type: int64",
        ),
        ('{"inputs": null}', {"x": "STRING"}, "JSON Value: null Type: Null is not of expected type: string"),
        ('{"inputs": "1"}', {"x": "FLOAT"}, 'JSON Value: "1" Type: String is not of expected type: float'),
        (
            '{"inputs": 16777216}',
            {"x": "FLOAT"},
            "Cannot convert JSON value: 16777216 to float without loss of precision.",
        ),
        (
            '{"inputs": 1e39}',
            {"x": "FLOAT"},
            "Cannot convert JSON value: 1e+39 to float without loss of precision.",
        ),
        ('{"inputs": [{"b64": "*"}]}', {"x": "STRING"}, "Unable to base64 decode"),
        (
            '{"inputs": [{"b64": 1}]}',
            {"x": "STRING"},
            'JSON Value: {"b64": 1} not formatted correctly for base64 data',
        ),
        (r'{"in\ud800": "x"}', {"x": "STRING"}, "JSON Parse error: The surrogate pair in string"),
        (r'{"inputs": "\ud800"}', {"x": "STRING"}, "JSON Parse error: The surrogate pair in string"),
        ('{"inputs": ' + "[" * 70 + "1" + "]" * 70 + "}", {"x": "INT64"}, "at most 64 dimensions, got 70"),
        ('{"inputs": 1}', {"x": "HALF"}, "Conversion of JSON Value: 1 to type: half"),
    ],
)
def test_what_does_not_fit(body, dtypes, message):
    with pytest.raises(errors.InvalidRequest) as caught:
        _filled(body, **dtypes)
    assert message in str(caught.value)


def test_an_error_repeats_no_long_value():
    with pytest.raises(errors.InvalidRequest) as caught:
        _filled(json.dumps({"inputs": "x" * 10_000}), x="INT64")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [1, None, ["x"]])
def test_a_signature_name_is_a_string(name):
    with pytest.raises(errors.InvalidRequest, match="'signature_name' key must be a string value"):
        json_tensor.signature_name({"signature_name": name})


def test_row_format_to_the_letter():
    assert json_tensor.predict_json(_outputs(y=np.float32([3.5, 4, 5.5])), row=True) == (
        '{\n    "predictions": [3.5, 4.0, 5.5\n    ]\n}'
    )
    assert json_tensor.predict_json(_outputs(y=np.array([[1, 2], [3, 4]])), row=True) == (
        '{\n    "predictions": [[1, 2], [3, 4]\n    ]\n}'
    )
    two = _outputs(b=np.array([b"x", b"y"], object), a=np.array([[True], [False]]))
    assert json_tensor.predict_json(two, row=True) == (
        '{\n    "predictions": [\n'
        '        {\n            "a": [true],\n            "b": "x"\n        },\n'
        '        {\n            "a": [false],\n            "b": "y"\n        }\n'
        "    ]\n}"
    )
    assert json_tensor.predict_json(_outputs(y=np.zeros((0, 2))), row=True) == '{\n    "predictions": []\n}'


def test_column_format_to_the_letter():
    assert json_tensor.predict_json(_outputs(y=np.float32([3.5, 4])), row=False) == (
        '{\n    "outputs": [\n        3.5,\n        4.0\n    ]\n}'
    )
    assert json_tensor.predict_json(_outputs(y=np.float32(0.5)), row=False) == '{\n    "outputs": 0.5\n}'
    two = _outputs(b=np.array([[2**63 - 1]]), a_bytes=np.array([b"\xff"], object))
    assert json_tensor.predict_json(two, row=False) == (
        '{\n    "outputs": {\n'
        '        "a_bytes": [\n            {\n                "b64": "/w=="\n            }\n        ],\n'
        '        "b": [\n            [\n                9223372036854775807\n            ]\n        ]\n'
        "    }\n}"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (4.0, "4.0"),
        (-0.0, "-0.0"),
        (9_000_000.0, "9e+06"),
        (1 / 3, "0.333333343"),
        (16_777_215.0, "16777215.0"),
        (np.finfo(np.float32).max, "3.40282347e+38"),
        (1e-45, "1.4013e-45"),
        (np.nan, "NaN"),
        (np.inf, "Infinity"),
        (-np.inf, "-Infinity"),
    ],
)
def test_floats_read_back_as_they_were(value, text):
    written = json_tensor.predict_json(_outputs(y=np.float32([value])), row=True)
    assert written == f'{{\n    "predictions": [{text}\n    ]\n}}'
    np.testing.assert_equal(np.float32(json.loads(written)["predictions"]), np.float32([value]))


def test_doubles_keep_all_digits():
    written = json_tensor.predict_json(_outputs(y=np.array([0.1, 1 / 3])), row=True)
    assert json.loads(written) == {"predictions": [0.1, 1 / 3]}


def test_strings_go_out_as_they_are():
    written = json_tensor.predict_json(_outputs(y=np.array([b'"\n\xff', "é".encode()], object)), row=True)
    assert b'"\\"\\n\xff", "\xc3\xa9"' in written.encode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"y": np.float32(1)}, "Tensor name: y has no shape information"),
        (
            {"a": np.zeros(1), "b": np.zeros(2)},
            "Tensor name: b has inconsistent batch size: 2 expecting: 1",
        ),
    ],
)
def test_rows_need_one_batch_size(outputs, message):
    with pytest.raises(errors.InvalidRequest, match=message):
        json_tensor.predict_json(_outputs(**outputs), row=True)


def test_examples():
    request_input = input_pb2.Input()
    json_tensor.fill_examples(
        {"context": {"c": "x"}, "examples": [{"i": [1, True], "f": 0.5, "s": ["a", {"b64": "/w=="}]}]},
        request_input,
    )
    assert request_input.WhichOneof("kind") == "example_list_with_context"
    filled = request_input.example_list_with_context
    assert list(filled.context.features.feature["c"].bytes_list.value) == [b"x"]
    features = filled.examples[0].features.feature
    assert list(features["i"].int64_list.value) == [1, 1]
    assert list(features["f"].float_list.value) == [0.5]
    assert list(features["s"].bytes_list.value) == [b"a", b"\xff"]
    request_input.Clear()
    json_tensor.fill_examples({"examples": [{}, {}]}, request_input)
    assert len(request_input.example_list.examples) == 2


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        ({"examples": [{"a": 2**63}]}, "Feature: a has uint64 element. Only int64 is supported."),
        ({"examples": [{"a": [1, "x"]}]}, "Unexpected element type in feature: a expecting type: int64"),
    ],
)
def test_what_is_no_example(document, message):
    with pytest.raises(errors.InvalidRequest) as caught:
        json_tensor.fill_examples(document, input_pb2.Input())
    assert message in str(caught.value)


def test_results():
    regression = regression_pb2.RegressionResult()
    for value in (3.5, 4.0):
        regression.regressions.add(value=value)
    assert json_tensor.regress_json(regression) == '{\n    "results": [3.5, 4.0]\n}'
    classification = classification_pb2.ClassificationResult()
    classification.classifications.add().classes.add(label="a", score=0.5)
    classification.classifications.add().classes.add(label="", score=1)
    assert json.loads(json_tensor.classify_json(classification)) == {"results": [[["a", 0.5]], [["", 1.0]]]}


def test_errors():
    assert json_tensor.error_json('no "x"') == '{\n    "error": "no \\"x\\""\n}'
