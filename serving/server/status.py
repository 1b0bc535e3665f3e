"""This package's errors as gRPC's, with TensorFlow Serving's codes."""

import functools
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2

from serving import errors
from serving.server import deadline

_MESSAGE_LIMIT = 1024  # as TensorFlow Serving; gRPC drops an answer whose message is too long
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def reporting(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn this package's errors into gRPC's, with TensorFlow Serving's codes."""

    @functools.wraps(method)
    def wrapped(self: object, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            with deadline.of(context):
                return method(self, request)
        except errors.ServingError as error:
            context.abort(_code(error), _shortened(str(error)))

    return wrapped


_KINDS = (
    (errors.SignatureNotFound, grpc.StatusCode.FAILED_PRECONDITION),  # an InvalidRequest too
    (errors.LabelUnavailable, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.ModelNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.NotSupported, grpc.StatusCode.UNIMPLEMENTED),
    (errors.LimitExceeded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
)


def _code(error: errors.ServingError) -> grpc.StatusCode:
    if isinstance(error, errors.ModelFailed):
        return _CODES[error.code]
    return next((code for kind, code in _KINDS if isinstance(error, kind)), grpc.StatusCode.UNKNOWN)


def _shortened(message: str) -> str:
    return message if len(message) <= _MESSAGE_LIMIT else f"{message[:_MESSAGE_LIMIT]}...TRUNCATED"


def spec_of(request: Any) -> model_pb2.ModelSpec:
    """Return the model spec of a request of any kind."""
    if not request.HasField("model_spec"):
        raise errors.InvalidRequest("Missing ModelSpec")
    return request.model_spec
