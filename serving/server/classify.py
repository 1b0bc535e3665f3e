"""Answer with classes and scores, from a signature with the method name tensorflow/serving/classify."""

from typing import Final

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2

from serving import errors
from serving.saved_model import SessionModel
from serving.wire import data_type

METHOD_NAME: Final = "tensorflow/serving/classify"
INPUTS: Final = "inputs"
CLASSES: Final = "classes"
SCORES: Final = "scores"


def check(signature: meta_graph_pb2.SignatureDef, *, method_name_check: bool) -> None:
    """Refuse a signature that cannot classify.

    Raises:
        InvalidRequest: As TensorFlow Serving tells it.
    """
    if method_name_check and signature.method_name != METHOD_NAME:
        raise errors.InvalidRequest(
            f"Expected classification signature method_name to be {METHOD_NAME}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise errors.InvalidRequest("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise errors.InvalidRequest(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise errors.InvalidRequest(f"No classification inputs found in SignatureDef: {signature}")
    if CLASSES not in signature.outputs and SCORES not in signature.outputs:
        raise errors.InvalidRequest(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {signature}'
        )


def classify(
    model: SessionModel, signature_name: str, examples: np.ndarray
) -> classification_pb2.ClassificationResult:
    """Run a signature that `check` has passed.

    Args:
        model: The loaded model.
        signature_name: One of its signatures.
        examples: object[batch], serialized.

    Returns:
        For each example its classes, each with the label and the score that the signature gives.

    Raises:
        InvalidRequest: The graph refuses the examples, or its outputs are no classes and scores for them.
        ModelFailed: As `SessionModel.run`.
    """
    names = [name for name in (CLASSES, SCORES) if name in model.signatures[signature_name].outputs]
    outputs = model.run(signature_name, {INPUTS: examples}, names)
    for name, (dtype, expected) in {
        CLASSES: (object, "DT_STRING"),
        SCORES: (np.float32, "DT_FLOAT"),
    }.items():
        if name not in outputs:
            continue
        value = outputs[name]
        if value.ndim != 2:
            raise errors.InvalidRequest(
                f"Expected Tensor shape: [batch_size num_classes] but got [{','.join(map(str, value.shape))}]"
            )
        if value.dtype != dtype:
            raise errors.InvalidRequest(f"Expected {name} Tensor of {expected}. Got: {data_type(value)}")
        if len(value) != len(examples):
            raise errors.InvalidRequest(
                f"Expected {name} output batch size of {len(examples)}. Got: {len(value)}"
            )
    if len(names) == 2 and outputs[CLASSES].shape[1] != outputs[SCORES].shape[1]:
        raise errors.InvalidRequest(
            "Tensors class and score should match in dim_size(1). Got "
            f"{outputs[CLASSES].shape[1]} vs. {outputs[SCORES].shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    for row in range(len(examples)):
        classes = result.classifications.add().classes
        for column in range(outputs[names[0]].shape[1]):
            found = classes.add()
            if CLASSES in outputs:
                found.label = _text(outputs[CLASSES][row, column])
            if SCORES in outputs:
                found.score = outputs[SCORES][row, column]
    return result


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise errors.InvalidRequest(f"a label is no UTF-8: {label!r}") from error
