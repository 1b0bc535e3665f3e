"""What TensorFlow Serving answers, as a table, asked over a socket.

The local server is asked by default, and with `--server HOST:PORT` any other: serving/README.md says how to
start one for it. Codes and messages are from TensorFlow Serving's source (classifier.cc, regressor.cc,
multi_inference.cc, predict_util.cc, get_model_metadata_impl.cc, get_model_status_impl.cc,
model_service_impl.cc, server_core.cc) and TensorFlow's (tensor.cc, saved_model/util.cc).
"""

import dataclasses
import time
from typing import Any

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

Code = grpc.StatusCode
OK, INVALID, NOT_FOUND = Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND
FAILED_PRECONDITION, UNIMPLEMENTED, INTERNAL = Code.FAILED_PRECONDITION, Code.UNIMPLEMENTED, Code.INTERNAL
REQUESTS = {
    "Predict": predict_pb2.PredictRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "MultiInference": inference_pb2.MultiInferenceRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    "HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
}
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@dataclasses.dataclass(frozen=True)
class Row:
    """A request, its code, and what must be in the answer or in the message.

    `answer` is, of an error, a part of its message; of Predict, the outputs as lists; of other methods, the
    whole answer as text. `inferred`: TensorFlow Serving's source as read does not settle it. `local`: the
    row is about the local server alone.
    """

    id: str
    method: str
    request: str | bytes
    code: Code
    answer: Any = ""
    inferred: bool = False
    local: bool = False


def spec(signature="", rest="", name="conformance"):
    return f'model_spec {{ name: "{name}" signature_name: "{signature}" {rest} }}'


def tensor(key, dtype, dims, values):
    shape = " ".join(f"dim {{ size: {size} }}" for size in dims)
    return f'inputs {{ key: "{key}" value {{ dtype: DT_{dtype} tensor_shape {{ {shape} }} {values} }} }}'


def default(rest="", name="conformance", more=""):
    return spec("", rest, name) + ID + NAME + more


def ids(dims, values, dtype="INT64"):
    """A request whose tensor is the row's point; twelve divided by it is the answer."""
    return spec("divide") + tensor("id", dtype, dims, values)


def example(x, country=None):
    found = f'features {{ feature {{ key: "x" value {{ float_list {{ value: {x} }} }} }} '
    if country is not None:
        found += f'feature {{ key: "country" value {{ bytes_list {{ value: "{country}" }} }} }} '
    return found + "}"


def examples(*found):
    return "input { example_list { " + " ".join(f"examples {{ {one} }}" for one in found) + " } }"


def with_context(context, *found):
    listed = " ".join(f"examples {{ {one} }}" for one in found)
    return f"input {{ example_list_with_context {{ context {{ {context} }} {listed} }} }}"


def task(signature, method, rest="", name="conformance"):
    return f'tasks {{ {spec(signature, rest, name)} method_name: "{method}" }} '


def answered(signature, version):
    return (
        f'model_spec {{ name: "conformance" version {{ value: {version} }} signature_name: "{signature}" }} '
    )


def wire(method, text):
    return text_format.Parse(text, REQUESTS[method]()).SerializeToString()


def predicted(version, **outputs):
    return {"version": version, **outputs}


ID, NAME = (
    tensor("id", "INT64", [2], "int64_val: [4, 6]"),
    tensor("name", "STRING", [2], 'string_val: ["a", "b"]'),
)
X12 = tensor("x", "FLOAT", [1, 3], "float_val: [1, 2, 3]")
GREETING = [b"hello a", b"hello b"]
DEFAULT_1 = predicted(1, next=[5, 7], greeting=GREETING, batch=[2])
DEFAULT_2 = predicted(2, next=[6, 8], greeting=GREETING, batch=[2])
UNKNOWN_LABEL = "Unrecognized servable version label: nope"
TWO = examples(example("[1, 2]"), example("[3, 4]", "NL"))  # with the version, 21 + v and 1043 + v

ROWS = [
    # Which model answers
    Row("newest version", "Predict", default(), OK, DEFAULT_2),
    Row("default signature by name", "Predict", spec("serving_default") + ID + NAME, OK, DEFAULT_2),
    Row("version", "Predict", default("version { value: 1 }"), OK, DEFAULT_1),
    Row("label stable", "Predict", default('version_label: "stable"'), OK, DEFAULT_1),
    Row("label canary", "Predict", default('version_label: "canary"'), OK, DEFAULT_2),
    Row(
        "version then label: the label holds",
        "Predict",
        wire("Predict", default("version { value: 1 }"))
        + wire("Predict", spec("", 'version_label: "canary"')),
        OK,
        DEFAULT_2,
    ),
    Row(
        "label then version: the version holds",
        "Predict",
        wire("Predict", default('version_label: "canary"'))
        + wire("Predict", spec("", "version { value: 1 }")),
        OK,
        DEFAULT_1,
    ),
    Row("other model", "Predict", default(name="other"), OK, DEFAULT_1),
    Row(
        "unknown model", "Predict", default(name="nope"), NOT_FOUND,
        "Servable not found for request: Latest(nope)",
    ),
    Row(
        "unknown model, version", "Predict", default("version { value: 1 }", "nope"), NOT_FOUND,
        "Servable not found for request: Specific(nope, 1)",
    ),
    Row(
        "unknown model, label", "Predict", default('version_label: "nope"', "nope"), INVALID,
        UNKNOWN_LABEL,
    ),
    Row(
        "unknown version", "Predict", default("version { value: 7 }"), NOT_FOUND,
        "Servable not found for request: Specific(conformance, 7)",
    ),
    Row(
        "version zero, which is set all the same", "Predict", default("version { }"), NOT_FOUND,
        "Servable not found for request: Specific(conformance, 0)",
    ),
    Row(
        "negative version", "Predict", default("version { value: -1 }"), NOT_FOUND,
        "Servable not found for request: Specific(conformance, -1)",
    ),
    Row("unknown label", "Predict", default('version_label: "nope"'), INVALID, UNKNOWN_LABEL),
    Row(
        "empty label", "Predict", default('version_label: ""'), INVALID,
        "Unrecognized servable version label: ",
    ),
    Row("label of another model", "Predict", default('version_label: "stable"', "other"), INVALID,
        "Unrecognized servable version label: stable"),
    Row("no model spec", "Predict", ID + NAME, INVALID, "Missing ModelSpec"),
    Row("nothing at all", "Predict", b"", INVALID, "Missing ModelSpec"),
    Row("empty name", "Predict", default(name=""), INVALID, "ModelSpec has no name specified."),
    Row("name in other case", "Predict", default(name="Conformance"), NOT_FOUND),
    # Signatures, inputs, outputs
    Row(
        "unknown signature", "Predict", spec("nope") + ID, FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    ),
    Row(
        "unknown signature before a bad tensor", "Predict",
        spec("nope") + tensor("id", "INT64", [-1], ""), FAILED_PRECONDITION,
    ),
    Row(
        "missing input", "Predict", spec() + ID, INVALID,
        "input size does not match signature: 1!=2 len({id}) != len({id,name}). Sent extra: {}. "
        "Missing but required: {name}.",
    ),
    Row("no inputs", "Predict", spec(), INVALID, "Missing but required: {id,name}."),
    Row(
        "extra input", "Predict", default(more=X12), INVALID,
        "input size does not match signature: 3!=2 len({id,name,x}) != len({id,name}). Sent extra: {x}. "
        "Missing but required: {}.",
    ),
    Row("another input in place of one", "Predict", spec() + ID + X12, INVALID),
    Row("input name in other case", "Predict",
        spec("linear") + X12.replace('"x"', '"X"'), INVALID),
    Row("predict on a classify signature", "Predict",
        spec("classify_scores") + tensor("inputs", "STRING", [0], ""), OK, predicted(2, scores=[])),
    Row("wrong type: int32 for int64", "Predict", ids([1], "int_val: 1", "INT32"), INVALID, "Expects "),
    Row("wrong type: float for int64", "Predict", ids([1], "float_val: 1", "FLOAT"), INVALID, "int64"),
    Row("wrong type: string for int64", "Predict", ids([1], 'string_val: "1"', "STRING"), INVALID),
    Row("wrong type: double for float", "Predict",
        spec("linear") + tensor("x", "DOUBLE", [1, 3], "double_val: [1, 2, 3]"), INVALID, "float"),
    Row("a type without values", "Predict", ids([1], "", "RESOURCE"), INVALID),
    Row("no type", "Predict", ids([1], "int64_val: 1", "INVALID"), INVALID, "tensor parsing error"),
    Row("wrong size of a dimension", "Predict",
        spec("linear") + tensor("x", "FLOAT", [1, 2], "float_val: 1"), INVALID),
    Row("rank too low", "Predict", spec("linear") + tensor("x", "FLOAT", [3], "float_val: 1"), INVALID),
    Row("a scalar for a matrix", "Predict", spec("linear") + tensor("x", "FLOAT", [], "float_val: 1"),
        INVALID),
    Row("rank too high", "Predict",
        spec("linear") + tensor("x", "FLOAT", [1, 1, 1, 1, 3], "float_val: 1"), INVALID, inferred=True),
    Row("a vector for a scalar", "Predict",
        spec("read") + tensor("path", "STRING", [2], 'string_val: "/nowhere"'), INVALID),
    Row("batch sizes that differ where nothing joins them", "Predict",
        spec() + tensor("id", "INT64", [1], "int64_val: 4") + NAME, OK,
        predicted(2, next=[6], greeting=GREETING, batch=[1])),
    Row("empty batch", "Predict",
        spec() + tensor("id", "INT64", [0], "") + tensor("name", "STRING", [0], ""), OK,
        predicted(2, next=[], greeting=[], batch=[0])),
    Row("empty batch of a matrix", "Predict", spec("linear") + tensor("x", "FLOAT", [0, 3], ""), OK,
        predicted(2, y=[])),
    Row("a product", "Predict", spec("linear") + X12, OK, predicted(2, y=[323.0])),
    Row("a value that the graph refuses", "Predict", ids([1], "int64_val: 0"), INVALID,
        "division by zero"),
    Row("a failure with a code of its own", "Predict",
        spec("read") + tensor("path", "STRING", [], 'string_val: "/nowhere"'), NOT_FOUND, "No such file"),
    Row("one output", "Predict", default(more='output_filter: "next"'), OK, predicted(2, next=[6, 8])),
    Row("two outputs", "Predict", default(more='output_filter: ["batch", "next"]'), OK,
        predicted(2, next=[6, 8], batch=[2])),
    Row("unknown output", "Predict", default(more='output_filter: "nope"'), INVALID,
        "output tensor alias not found in signature: nope Outputs expected to be in the set "
        "{batch,greeting,next}."),
    Row("repeated output", "Predict", default(more='output_filter: ["next", "next"]'), INVALID,
        "duplicate output tensor alias: next"),
    Row("empty output name", "Predict", default(more='output_filter: ""'), INVALID,
        "output tensor alias not found in signature: "),
    # Tensors
    Row("tensor content", "Predict",
        ids([2], r'tensor_content: "\003\000\000\000\000\000\000\000\004\000\000\000\000\000\000\000"'), OK,
        predicted(2, quotient=[4, 3])),
    Row("tensor content too short", "Predict", ids([2], r'tensor_content: "\003\000\000\000"'), INVALID,
        "tensor parsing error: id"),
    Row("tensor content too long", "Predict",
        ids([1], r'tensor_content: "\003\000\000\000\000\000\000\000\000"'), INVALID,
        "tensor parsing error: id"),
    Row("tensor content comes before values", "Predict",
        ids([1], r'int64_val: 6 tensor_content: "\003\000\000\000\000\000\000\000"'), OK,
        predicted(2, quotient=[4])),
    Row("content of a tensor without elements is not read", "Predict",
        ids([0], r'tensor_content: "\003"'), OK, predicted(2, quotient=[])),
    Row("strings as tensor content", "Predict",
        spec() + ID + tensor("name", "STRING", [2], r'tensor_content: "\001\002xyz"'), OK,
        predicted(2, next=[6, 8], greeting=[b"hello x", b"hello yz"], batch=[2])),
    Row("strings as tensor content of the wrong length", "Predict",
        spec() + ID + tensor("name", "STRING", [2], r'tensor_content: "\001\002xyz!"'), INVALID,
        "tensor parsing error: name"),
    Row("a boolean that is none", "Predict",
        spec("invert") + tensor("flag", "BOOL", [1], r'tensor_content: "\002"'), INVALID,
        "tensor parsing error: flag"),
    Row("booleans", "Predict", spec("invert") + tensor("flag", "BOOL", [2], "bool_val: [true, false]"), OK,
        predicted(2, inverse=[False, True])),
    Row("negative dimension", "Predict", ids([-1], "int64_val: 1"), INVALID, "tensor parsing error: id"),
    Row("dimensions that overflow", "Predict", ids([1 << 62, 1 << 62], "int64_val: 1"), INVALID,
        "tensor parsing error: id"),
    Row("255 dimensions", "Predict", ids([1] * 255, "int64_val: 1"), INVALID, "tensor parsing error: id"),
    Row("unknown rank is not looked at", "Predict",
        ids([2], "int64_val: 3").replace("tensor_shape {", "tensor_shape { unknown_rank: true"), OK,
        predicted(2, quotient=[4, 4])),
    Row("int_val for int64 is no value, and so zero", "Predict",
        spec() + tensor("id", "INT64", [2], "int_val: [4, 6]") + NAME, OK,
        predicted(2, next=[2, 2], greeting=GREETING, batch=[2])),
    Row("the last value repeats", "Predict", ids([3], "int64_val: [3, 4]"), OK,
        predicted(2, quotient=[4, 3, 3])),
    Row("values that are left over", "Predict", ids([1], "int64_val: [3, 4]"), OK,
        predicted(2, quotient=[4])),
    Row("bytes that are no text", "Predict",
        spec() + ID + tensor("name", "STRING", [2], r'string_val: ["\377\000", ""]'), OK,
        predicted(2, next=[6, 8], greeting=[b"hello \xff\x00", b"hello "], batch=[2])),
    # Classify
    Row("classify", "Classify", spec("classify") + TWO, OK,
        "result { "
        "classifications { classes { label: 'low' score: 23 } classes { label: 'high' score: -23 } } "
        "classifications { classes { label: 'low' score: 1045 } classes { label: 'high' score: -1045 } } } "
        + answered("classify", 2)),
    Row("classify by version", "Classify",
        spec("classify_scores", "version { value: 1 }") + examples(example("[1, 2]")), OK,
        "result { classifications { classes { score: 22 } classes { score: -22 } } } "
        + answered("classify_scores", 1)),
    Row("classes alone", "Classify", spec("classify_classes") + examples(example("[1, 2]")), OK,
        "result { classifications { classes { label: 'low' } classes { label: 'high' } } } "
        + answered("classify_classes", 2)),
    Row("classify on a predict signature", "Classify", spec() + TWO, INVALID,
        f"Expected classification signature method_name to be {CLASSIFY}. Was: tensorflow/serving/predict"),
    Row("classify on a regress signature", "Classify", spec("regress") + TWO, INVALID,
        f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}"),
    Row("classify, unknown signature", "Classify", spec("nope") + TWO, INVALID,
        "No signature was found with the name: nope"),
    Row("classify, no model spec", "Classify", TWO, INVALID, "Missing ModelSpec"),
    Row("classify, empty name", "Classify", spec("classify", name="") + TWO, INVALID,
        "ModelSpec has no name specified."),
    Row("classify, unknown model", "Classify", spec("classify", name="nope") + TWO, NOT_FOUND,
        "Servable not found for request: Latest(nope)"),
    Row("classify, no input", "Classify", spec("classify"), INVALID, "Input is empty"),
    Row("classify, no examples", "Classify", spec("classify") + "input { example_list { } }", INVALID,
        "Input is empty"),
    Row("classify, scores of rank 1", "Classify", spec("classify_flat") + TWO, INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [2]"),
    Row("classify, neither classes nor scores", "Classify", spec("classify_other") + TWO, INVALID,
        'to contain at least one of "classes" or "scores"'),
    Row("classify, more classes than scores", "Classify", spec("classify_sizes") + TWO, INVALID,
        "Tensors class and score should match in dim_size(1). Got 2 vs. 1"),
    Row("classify, an example without the feature", "Classify",
        spec("classify") + examples("features { }"), INVALID),
    Row("classify, a feature of another type", "Classify",
        spec("classify") + examples(example("[1, 2]").replace("float_list", "int64_list")), INVALID),
    # Regress
    Row("regress", "Regress", spec("regress") + TWO, OK,
        "result { regressions { value: 23 } regressions { value: 1045 } } " + answered("regress", 2)),
    Row("regress by label", "Regress", spec("regress", 'version_label: "stable"') + TWO, OK,
        "result { regressions { value: 22 } regressions { value: 1044 } } " + answered("regress", 1)),
    Row("regress, a column", "Regress", spec("regress_column") + TWO, OK,
        "result { regressions { value: 23 } regressions { value: 1045 } } " + answered("regress_column", 2)),
    Row("regress, context", "Regress",
        spec("regress") + with_context(example("[5, 5]", "NL"), example("[1, 2]"), example("[3, 4]")), OK,
        "result { regressions { value: 1023 } regressions { value: 1045 } } " + answered("regress", 2)),
    Row("regress, the example wins over the context", "Regress",
        spec("regress") + with_context(example("[5, 5]", "NL"), example("[1, 2]", "BE")), OK,
        "result { regressions { value: 23 } } " + answered("regress", 2)),
    Row("regress, an empty example has the context's features", "Regress",
        spec("regress") + with_context(example("[1, 2]"), ""), OK,
        "result { regressions { value: 23 } } " + answered("regress", 2)),
    Row("regress, a context and no examples", "Regress",
        spec("regress") + with_context(example("[1, 2]")), INVALID, "Input is empty"),
    Row("regress on a predict signature", "Regress", spec() + TWO, INVALID,
        f"Expected regression signature method_name to be {REGRESS}. Was: tensorflow/serving/predict"),
    Row("regress on a classify signature", "Regress", spec("classify") + TWO, INVALID,
        f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}"),
    Row("regress, unknown signature", "Regress", spec("nope") + TWO, INVALID,
        "No signature was found with the name: nope"),
    Row("regress, no model spec", "Regress", TWO, INVALID, "Missing ModelSpec"),
    Row("regress, unknown version", "Regress", spec("regress", "version { value: 7 }") + TWO, NOT_FOUND,
        "Servable not found for request: Specific(conformance, 7)"),
    Row("regress, no input", "Regress", spec("regress"), INVALID, "Input is empty"),
    Row("regress, pairs", "Regress", spec("regress_pairs") + TWO, INVALID,
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]"),
    Row("regress, one value for all", "Regress", spec("regress_mean") + TWO, INVALID,
        "Input batch size did not match output batch size: 2 vs. 1"),
    Row("regress, double", "Regress", spec("regress_double") + TWO, INVALID,
        "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    Row("regress, two inputs", "Regress", spec("regress_two") + TWO, INVALID, "Expected one input Tensor."),
    Row("regress, an input of another name", "Regress", spec("regress_renamed") + TWO, INVALID,
        "No regression inputs found in SignatureDef: "),
    # MultiInference
    Row("two tasks", "MultiInference", task("classify_scores", CLASSIFY) + task("regress", REGRESS) + TWO, OK,
        "results { " + answered("classify_scores", 2) + "classification_result { "
        "classifications { classes { score: 23 } classes { score: -23 } } "
        "classifications { classes { score: 1045 } classes { score: -1045 } } } } "
        "results { " + answered("regress", 2)
        + "regression_result { regressions { value: 23 } regressions { value: 1045 } } }"),
    Row("the first task's version answers", "MultiInference",
        task("regress", REGRESS, "version { value: 1 }") + task("regress_column", REGRESS)
        + examples(example("[1, 2]")), OK,
        "results { " + answered("regress", 1) + "regression_result { regressions { value: 22 } } } "
        "results { " + answered("regress_column", 1) + "regression_result { regressions { value: 22 } } }"),
    Row("no tasks", "MultiInference", TWO, INVALID, "ModelSpec has no name specified."),
    Row("a task without a name", "MultiInference",
        task("regress", REGRESS) + task("classify", CLASSIFY, name="") + TWO, INVALID,
        "Found ModelSpec with an empty model name."),
    Row("tasks for two models", "MultiInference",
        task("regress", REGRESS) + task("classify", CLASSIFY, name="other") + TWO, INVALID,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
    Row("the same task twice", "MultiInference", task("regress", REGRESS) * 2 + TWO, INVALID,
        "Duplicate evaluation of signature: regress"),
    Row("a task for an unknown signature", "MultiInference", task("nope", REGRESS) + TWO, INVALID,
        "Requested signature not found in model graph: nope"),
    Row("a task for an unknown model", "MultiInference", task("regress", REGRESS, name="nope") + TWO,
        NOT_FOUND, "Servable not found for request: Latest(nope)"),
    Row("a task to predict", "MultiInference", task("", "tensorflow/serving/predict") + TWO, UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict"),
    Row("a task with another method than its signature's", "MultiInference",
        task("classify", REGRESS) + TWO, INVALID, f"method_name to be {REGRESS}. Was: {CLASSIFY}"),
    Row("tasks with two inputs", "MultiInference",
        task("regress", REGRESS) + task("regress_elsewhere", REGRESS) + TWO, INVALID,
        "Input tensor must be the same for all Signatures."),
    Row("tasks without examples", "MultiInference", task("regress", REGRESS), INVALID, "Input is empty"),
    # GetModelMetadata
    Row("metadata, no field", "GetModelMetadata", spec(), INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field"),
    Row("metadata, unknown field", "GetModelMetadata", spec() + 'metadata_field: "nope"', INVALID,
        "Metadata field "),
    Row("metadata, one known and one unknown field", "GetModelMetadata",
        spec() + 'metadata_field: ["signature_def", "nope"]', INVALID, "Metadata field "),
    Row("metadata, no model spec", "GetModelMetadata", 'metadata_field: "signature_def"', INVALID,
        "Missing ModelSpec"),
    Row("metadata, empty name", "GetModelMetadata", spec(name="") + 'metadata_field: "signature_def"',
        INVALID, "ModelSpec has no name specified."),
    Row("metadata, unknown model", "GetModelMetadata", spec(name="nope") + 'metadata_field: "signature_def"',
        NOT_FOUND, "Servable not found for request: Latest(nope)"),
    Row("metadata, unknown label", "GetModelMetadata",
        spec("", 'version_label: "nope"') + 'metadata_field: "signature_def"', INVALID, UNKNOWN_LABEL),
    # GetModelStatus
    Row("status of all versions", "GetModelStatus", spec(), OK,
        "model_version_status { version: 2 state: AVAILABLE status { } } "
        "model_version_status { version: 1 state: AVAILABLE status { } }"),
    Row("status of a version", "GetModelStatus", spec("", "version { value: 1 }"), OK,
        "model_version_status { version: 1 state: AVAILABLE status { } }"),
    Row("status by label is of all versions", "GetModelStatus", spec("", 'version_label: "stable"'), OK,
        "model_version_status { version: 2 state: AVAILABLE status { } } "
        "model_version_status { version: 1 state: AVAILABLE status { } }"),
    Row("status of an unknown version", "GetModelStatus", spec("", "version { value: 7 }"), NOT_FOUND,
        "Could not find version 7 of model conformance"),
    Row("status of an unknown model", "GetModelStatus", spec(name="nope"), NOT_FOUND,
        "Could not find any versions of model nope"),
    Row("status, empty name", "GetModelStatus", spec(name=""), NOT_FOUND,
        "Could not find any versions of model "),
    Row("status, no model spec", "GetModelStatus", "", INVALID, "Missing ModelSpec"),
    # What is no message, and what is no method
    Row("no message: predict", "Predict", b"\xff\xff\xff", INTERNAL),
    Row("no message: regress", "Regress", b"\x0a\x7f", INTERNAL),
    Row("no message: status", "GetModelStatus", b"\x0a\x05abc", INTERNAL),
    Row("a model name that is no text", "Predict", b"\x0a\x03\x0a\x01\xff", INTERNAL),
    Row("a field that is not known", "Predict", wire("Predict", default()) + b"\xf8\x07\x01", OK, DEFAULT_2),
    Row("unknown method", "SessionRun", b"", UNIMPLEMENTED),
    Row("over the limit of a message", "Predict",
        wire("Predict", spec("read")) + b"\x12\x80\x80\x80\x20" + bytes(1 << 26), Code.RESOURCE_EXHAUSTED,
        local=True),
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reload:
    """A configuration, its code and a part of the message, and rows that hold after it."""

    id: str
    config: str
    code: Code
    message: str = ""
    then: tuple[Row, ...] = ()
    local: bool = False


def model(name="conformance", rest="", folder=None, platform='model_platform: "tensorflow"'):
    path = "FOLDER/" + (folder or name)
    return f'config {{ name: "{name}" base_path: "{path}" {platform} {rest} }} '


def labels(**versions):
    return " ".join(
        f'version_labels {{ key: "{label}" value: {version} }}' for label, version in versions.items()
    )


ALL = "model_version_policy { all { } } "
FIRST = "model_version_policy { specific { versions: 1 } } "
LABELS = labels(stable=1, canary=2)
OTHER = model("other")
KEPT = Row("", "Predict", default('version_label: "stable"'), OK, DEFAULT_1)

RELOADS = [
    Reload("the same", model(rest=ALL + LABELS) + OTHER, OK, then=(KEPT,)),
    Reload("labels exchanged", model(rest=ALL + labels(stable=2, canary=1)) + OTHER, OK, then=(
        Row("", "Predict", default('version_label: "stable"'), OK, DEFAULT_2),
        Row("", "Predict", default('version_label: "canary"'), OK, DEFAULT_1),
    )),
    Reload("a label in use for a version that does not serve",
        model(rest=ALL + labels(stable=7, canary=2)) + OTHER, FAILED_PRECONDITION,
        "Request to assign label to version 7 of model conformance, which is not currently available for "
        "inference", then=(KEPT,)),
    Reload("a new label for a version that does not serve",
        model(rest=ALL + LABELS + labels(next=7)) + OTHER, OK, then=(
            Row("", "Predict", default('version_label: "next"'), NOT_FOUND,
                "Servable not found for request: Specific(conformance, 7)"),
        )),
    Reload("a label taken away", model(rest=ALL + labels(canary=2)) + OTHER, OK, then=(
        Row("", "Predict", default('version_label: "stable"'), INVALID,
            "Unrecognized servable version label: stable"),
    )),
    Reload("a version taken away", model(rest=FIRST + labels(stable=1)) + OTHER, OK, then=(
        Row("", "Predict", default("version { value: 2 }"), NOT_FOUND),
        Row("", "Predict", default(), OK, DEFAULT_1),
        Row("", "GetModelStatus", spec("", "version { value: 2 }"), OK,
            "model_version_status { version: 2 state: END status { } }"),
    )),
    Reload("a model taken away", model(rest=ALL + LABELS), OK, then=(
        Row("", "Predict", default(name="other"), NOT_FOUND), KEPT,
    )),
    Reload("a model added", model(rest=ALL + LABELS) + OTHER + model("added", folder="other"), OK, then=(
        Row("", "Predict", default(name="added"), OK, DEFAULT_1), KEPT,
    )),
    Reload("no models", "", OK, then=(Row("", "Predict", default(), NOT_FOUND),)),
    Reload("a model by its deprecated type",
        model(rest=ALL + LABELS) + OTHER + model("added", "", "other", "model_type: TENSORFLOW"), OK, then=(
            Row("", "Predict", default(name="added"), OK, DEFAULT_1),
        )),
    Reload("a model that cannot be loaded", model(rest=ALL + LABELS) + OTHER + model("broken"), Code.UNKNOWN,
        "1 model(s) did not become available: ", then=(KEPT,)),
    Reload("a model listed twice", model() * 2, INVALID,
        "Illegal to list model conformance multiple times in config list", then=(KEPT,)),
    Reload("a relative path", model().replace("FOLDER", "folder"), INVALID,
        "Expected model conformance to have an absolute path or URI; got base_path()=folder/conformance",
        then=(KEPT,)),
    Reload("no path", 'config { name: "conformance" model_platform: "tensorflow" }', INVALID,
        "Expected model conformance to have an absolute path or URI; got base_path()=", then=(KEPT,)),
    Reload("an unknown platform", model(rest=ALL + LABELS) + model("other2", "", "other",
        'model_platform: "nope"'), INVALID, "Model other2 requests unsupported platform nope", then=(KEPT,)),
    Reload("a platform and a type",
        model("other2", "", "other", 'model_platform: "tensorflow" model_type: TENSORFLOW'), INVALID,
        "Illegal setting both ModelServerConfig::model_type", local=True),
    # After this one TensorFlow Serving refuses every configuration, since it takes the bad one as the old.
    Reload("no platform", model("other2", "", "other", ""), INVALID,
        "Illegal setting neither ModelServerConfig::model_type", then=(KEPT,), local=True),
]  # fmt: skip

NOT_LISTS = [
    Row("no configuration", "HandleReloadConfigRequest", "", INVALID,
        "Only ModelConfigList is currently supported"),
    Row("no configuration in it", "HandleReloadConfigRequest", "config { }", INVALID,
        "Only ModelConfigList is currently supported"),
    Row("a custom configuration", "HandleReloadConfigRequest",
        'config { custom_model_config { type_url: "a/b" } }', INVALID,
        "Only ModelConfigList is currently supported"),
]  # fmt: skip


class Target:
    """A server of the conformance models."""

    def __init__(self, address, folder, local):
        self.folder, self.local = folder, local
        self.channel = grpc.insecure_channel(
            address, options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        )
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        self.reflection = reflection_pb2_grpc.ServerReflectionStub(self.channel)

    def ask(self, method, request):
        """Return the code, and the answer or the message."""
        service = self.models if hasattr(self.models, method) else self.prediction
        try:
            if isinstance(request, str):
                message = text_format.Parse(request, REQUESTS[method]())
                return OK, getattr(service, method)(message, timeout=60)
            name = "ModelService" if service is self.models else "PredictionService"
            raw = self.channel.unary_unary(f"/tensorflow.serving.{name}/{method}")(request, timeout=60)
            return OK, predict_pb2.PredictResponse.FromString(raw)
        except grpc.RpcError as error:
            return error.code(), error.details()

    def reload(self, config):
        text = f"config {{ model_config_list {{ {config.replace('FOLDER', self.folder)} }} }}"
        return self.ask("HandleReloadConfigRequest", text)


@pytest.fixture(scope="module")
def target(request, conformance_target):
    made = Target(*conformance_target, local=request.config.getoption("--server", default=None) is None)
    yield made
    made.channel.close()


def _differs(target, row):
    """Say how an answer differs from what the row expects, or return None."""
    code, answer = target.ask(row.method, row.request)
    if code is not row.code:
        return f"{code}: {answer}"
    if code is not OK:
        return None if row.answer in answer else answer
    if isinstance(row.answer, dict):
        found = {"version": answer.model_spec.version.value}
        found |= {name: tf.make_ndarray(tensor).tolist() for name, tensor in answer.outputs.items()}
        # A scalar for an output of one value is as good: the shapes are the graph's.
        found = {name: [value] if isinstance(row.answer.get(name), list) and not isinstance(value, list)
                 else value for name, value in found.items()}  # fmt: skip
        return None if found == row.answer else f"{found}"
    expected = text_format.Parse(row.answer, type(answer)())
    return None if answer == expected else text_format.MessageToString(answer)


@pytest.mark.parametrize("row", ROWS + NOT_LISTS, ids=lambda row: row.id)
def test_answers(target, row):
    if row.local and not target.local:
        pytest.skip("about the local server alone")
    assert _differs(target, row) is None


@pytest.mark.parametrize("row", RELOADS, ids=lambda row: row.id)
def test_reloads(target, row):
    if row.local and not target.local:
        pytest.skip("about the local server alone")
    try:
        code, answer = target.reload(row.config)
        assert code is row.code, answer
        if code is OK:
            assert answer.status.error_code == 0
        else:
            assert row.message in answer
        for after in row.then:
            _wait_for(target, after)
    finally:
        code, answer = target.reload(model(rest=ALL) + OTHER)
        assert code is OK, answer
        # Labels can move at once where both of their versions serve.
        for version in ("1", "2"):
            _wait_for(target, Row("", "GetModelStatus", spec("", f"version {{ value: {version} }}"), OK,
                f"model_version_status {{ version: {version} state: AVAILABLE status {{ }} }}"))  # fmt: skip
        assert target.reload(model(rest=ALL + LABELS) + OTHER)[0] is OK
        _wait_for(target, KEPT)


def _wait_for(target, row):
    """Versions come and go after the answer to a reload."""
    _wait_while(lambda: _differs(target, row))


def _wait_while(difference):
    """Wait until a call returns None; what it returned last is the message if it never does."""
    deadline = time.monotonic() + 20
    while (found := difference()) is not None:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_metadata(target):
    code, answer = target.ask(
        "GetModelMetadata", spec("", "version { value: 1 }") + 'metadata_field: "signature_def"'
    )
    assert code is OK, answer
    assert answer.model_spec == text_format.Parse(
        'name: "conformance" version { value: 1 }', type(answer.model_spec)()
    )
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert sorted(name for name in signatures.signature_def if not name.startswith("__")) == [
        "classify", "classify_classes", "classify_flat", "classify_other", "classify_scores",
        "classify_sizes", "divide", "invert", "linear", "read", "regress", "regress_column",
        "regress_double", "regress_elsewhere", "regress_mean", "regress_pairs", "regress_renamed",
        "regress_two", "serving_default",
    ]  # fmt: skip
    linear, classify = signatures.signature_def["linear"], signatures.signature_def["classify"]
    assert (linear.method_name, classify.method_name) == ("tensorflow/serving/predict", CLASSIFY)
    assert linear.inputs["x"].dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in linear.inputs["x"].tensor_shape.dim] == [-1, 3]
    assert sorted(classify.outputs) == ["classes", "scores"]


# The names without a package are TensorFlow Serving's own, with --enable_grpc_healthcheck_service; inferred.
@pytest.mark.parametrize("service", ["", "PredictionService", "ModelService"])
def test_health(target, service):
    def differs():
        answer = target.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        return None if answer.status == health_pb2.HealthCheckResponse.SERVING else str(answer)

    # The tests before load and unload versions; health follows with the server's next poll.
    _wait_while(differs)


def test_health_of_another_service(target):
    with pytest.raises(grpc.RpcError) as caught:
        target.health.Check(health_pb2.HealthCheckRequest(service="nope"), timeout=20)
    assert caught.value.code() is NOT_FOUND


def test_health_by_full_names(target):
    if not target.local:
        pytest.skip("about the local server alone")
    for service in ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        answer = target.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection(target):
    """TensorFlow Serving has none."""
    if not target.local:
        pytest.skip("about the local server alone")
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="nope"),
    ]
    listed, described, unknown = target.reflection.ServerReflectionInfo(iter(requests), timeout=20)
    assert sorted(service.name for service in listed.list_services_response.service) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    ]
    assert any(
        b"tensorflow_serving/apis/prediction_service.proto" in proto
        for proto in described.file_descriptor_response.file_descriptor_proto
    )
    assert unknown.error_response.error_code == NOT_FOUND.value[0]
