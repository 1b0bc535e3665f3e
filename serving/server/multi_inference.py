"""Answer several Classify and Regress tasks on the same examples."""

from tensorflow_serving.apis import inference_pb2, model_pb2

from serving import errors
from serving.saved_model import SessionModel
from serving.server import classify, regress
from serving.server.example_input import serialized_examples
from serving.server.predict import DEFAULT_SIGNATURE

_CHECKS = {classify.METHOD_NAME: classify.check, regress.METHOD_NAME: regress.check}


def model_spec(request: inference_pb2.MultiInferenceRequest) -> model_pb2.ModelSpec:
    """Return what says which version answers: the first task's."""
    return request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()


def multi_inference(
    model: SessionModel,
    version: int,
    request: inference_pb2.MultiInferenceRequest,
    *,
    method_name_check: bool,
) -> inference_pb2.MultiInferenceResponse:
    """Run every task.

    Args:
        model: The loaded model.
        version: Its version.
        request: At least one task, and the examples.
        method_name_check: Whether the signature's own method name must be the task's too.

    Raises:
        InvalidRequest: A task does not fit the model or the tasks before it, or as its method raises.
        NotSupported: A task is for another method.
        ModelFailed: As `SessionModel.run`.
    """
    _check_tasks(model, request, method_name_check)
    examples = serialized_examples(request.input)
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        result = response.results.add()
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        result.model_spec.version.value = version
        if task.method_name == classify.METHOD_NAME:
            result.classification_result.CopyFrom(classify.classify(model, name, examples))
        else:
            result.regression_result.CopyFrom(regress.regress(model, name, examples))
    return response


def _check_tasks(
    model: SessionModel, request: inference_pb2.MultiInferenceRequest, method_name_check: bool
) -> None:
    """Refuse tasks in TensorFlow Serving's order."""
    names: set[str] = set()
    inputs: set[str] = set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise errors.InvalidRequest("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise errors.InvalidRequest(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in names:
            raise errors.InvalidRequest(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        if name not in model.signatures:
            raise errors.InvalidRequest(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _CHECKS:
            raise errors.NotSupported(f"Unsupported signature method_name: {task.method_name}")
        _CHECKS[task.method_name](model.signatures[name], method_name_check=method_name_check)
        inputs |= {info.name for info in model.signatures[name].inputs.values()}
        if len(inputs) > 1:
            raise errors.InvalidRequest("Input tensor must be the same for all Signatures.")
