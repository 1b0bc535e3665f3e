"""This package's errors as gRPC's, with TensorFlow Serving's codes."""

import functools
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2

from serving import errors
from serving.server import deadline

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def reporting(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn this package's errors into gRPC's, with TensorFlow Serving's codes."""

    @functools.wraps(method)
    def wrapped(self: object, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            with deadline.of(context):
                return method(self, request)
        except errors.SignatureNotFound as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except errors.InvalidRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except errors.ModelNotFound as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except errors.LabelUnavailable as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except errors.LimitExceeded as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except errors.DeadlineExceeded as error:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))
        except errors.ModelFailed as error:
            context.abort(_CODES[error.code], str(error))

    return wrapped


def spec_of(request: Any) -> model_pb2.ModelSpec:
    """Return the model spec of a request of any kind."""
    if not request.HasField("model_spec"):
        raise errors.InvalidRequest("Missing ModelSpec")
    return request.model_spec
