"""Refuse bytes that are no message, without gRPC's own way of it.

Where a deserializer raises, gRPC for Python (1.85) keeps the call for good, some 16 KiB each. So it gets a
deserializer that does not raise, and the call ends as any other that fails, with the same code.
"""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError


class Deserialization(grpc.ServerInterceptor):
    """Ends requests to unary methods that cannot be deserialized with INTERNAL."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the method's handler with another deserializer."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler

        def deserialize(content: bytes) -> Any:
            try:
                return handler.request_deserializer(content)
            except DecodeError as error:
                return error

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if isinstance(request, DecodeError):
                context.abort(grpc.StatusCode.INTERNAL, str(request))
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, deserialize, handler.response_serializer)
