"""Answer with a value for each example, from a signature with the method name tensorflow/serving/regress."""

from typing import Final

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import regression_pb2

from serving import errors
from serving.saved_model import SessionModel
from serving.wire import data_type

METHOD_NAME: Final = "tensorflow/serving/regress"
INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"


def check(signature: meta_graph_pb2.SignatureDef, *, method_name_check: bool) -> None:
    """Refuse a signature that cannot regress.

    Raises:
        InvalidRequest: As TensorFlow Serving tells it.
    """
    if method_name_check and signature.method_name != METHOD_NAME:
        raise errors.InvalidRequest(
            f"Expected regression signature method_name to be {METHOD_NAME}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise errors.InvalidRequest("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise errors.InvalidRequest("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise errors.InvalidRequest(f"No regression inputs found in SignatureDef: {signature}")
    if OUTPUTS not in signature.outputs:
        raise errors.InvalidRequest(f"No regression outputs found in SignatureDef: {signature}")


def regress(
    model: SessionModel, signature_name: str, examples: np.ndarray
) -> regression_pb2.RegressionResult:
    """Run a signature that `check` has passed.

    Args:
        model: The loaded model.
        signature_name: One of its signatures.
        examples: object[batch], serialized.

    Raises:
        InvalidRequest: The graph refuses the examples, or its output is not one float for each.
        ModelFailed: As `SessionModel.run`.
    """
    value = model.run(signature_name, {INPUTS: examples}, [OUTPUTS])[OUTPUTS]
    if value.ndim != 1 and (value.ndim != 2 or value.shape[1] != 1):
        raise errors.InvalidRequest(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{','.join(map(str, value.shape))}]"
        )
    if len(value) != len(examples):
        raise errors.InvalidRequest(
            f"Input batch size did not match output batch size: {len(examples)} vs. {len(value)}"
        )
    if value.dtype != np.float32:
        raise errors.InvalidRequest(f"Expected output Tensor of DT_FLOAT.  Got: {data_type(value)}")
    result = regression_pb2.RegressionResult()
    for number in value.ravel().tolist():
        result.regressions.add(value=number)
    return result
