"""Answer a PredictRequest with a loaded model: for the server's callers and for its warm-up alike."""

import time
from collections.abc import Callable

from tensorflow_serving.apis import predict_pb2

from serving import errors, wire
from serving.saved_model import SessionModel

DEFAULT_SIGNATURE = "serving_default"


def predict(
    model: SessionModel,
    request: predict_pb2.PredictRequest,
    ran: Callable[[float], None] = lambda seconds: None,
) -> predict_pb2.PredictResponse:
    """Run the request's signature.

    Args:
        model: What runs.
        request: Its model spec tells the signature alone.
        ran: Told how many seconds the model took.

    Returns:
        The outputs, and a model spec with the name that was asked and the signature that answered.

    Raises:
        SignatureNotFound, InvalidRequest, ModelFailed: As `SessionModel.run`; a tensor that cannot be
            decoded is an InvalidRequest too.
    """
    signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
    inputs = {}
    for name, tensor in request.inputs.items():
        try:
            inputs[name] = wire.decode(tensor)
        except errors.InvalidRequest as error:
            raise errors.InvalidRequest(f"tensor parsing error: {name}: {error}") from error
    start = time.perf_counter()
    outputs = model.run(signature, inputs, list(request.output_filter))
    ran(time.perf_counter() - start)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = signature
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(wire.encode(value))
    return response
