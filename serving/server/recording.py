"""The one place where calls are counted and logged, those by gRPC and those by REST."""

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import message
from tensorflow_serving.apis import model_pb2

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """One call that has been answered."""

    peer: str  # as in gRPC: `ipv4:127.0.0.1:40000`
    entrypoint: str  # `GRPC` or `REST`
    api: str  # name of the gRPC method, or of the one that answers in REST; "" for a path that is none
    method: str  # as the caller wrote it: gRPC's full name, or HTTP's verb and path
    model: str
    version: int | None  # the one that answered, or else that was asked for
    signature: str
    code: grpc.StatusCode
    seconds: float  # wall time
    bytes_in: int  # of the message, or of HTTP's body
    bytes_out: int


Record = Callable[[Call], None]


class RecordingInterceptor(grpc.ServerInterceptor):
    """Records every unary call; streams, such as a watched health, pass.

    Args:
        record: Takes a call once it is answered.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """Wrap the handler, so that it sees the messages as bytes and can tell their sizes."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = handler_call_details.method

        def answer(raw: bytes, context: grpc.ServicerContext) -> bytes:
            start = time.perf_counter()
            request, response, written = None, None, b""
            try:
                try:
                    request = handler.request_deserializer(raw)
                except message.DecodeError as error:
                    _logger.debug("%s: %s", method, error)
                    context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
                response = handler.unary_unary(request, context)
                written = handler.response_serializer(response)
                return written
            finally:
                spec = spec_of_call(request, response)
                self._record(
                    Call(
                        peer=context.peer(),
                        entrypoint="GRPC",
                        api=method.rpartition("/")[2],
                        method=method,
                        model=spec.name,
                        version=spec.version.value if spec.HasField("version") else None,
                        signature=spec.signature_name,
                        code=_code(context, failed=response is None),
                        seconds=time.perf_counter() - start,
                        bytes_in=len(raw),
                        bytes_out=len(written),
                    )
                )

        return grpc.unary_unary_rpc_method_handler(answer)


def spec_of_call(request: Any, response: Any) -> model_pb2.ModelSpec:
    """Return which model, version and signature a call was about, as far as its messages tell."""
    for told in (response, request, *getattr(request, "tasks", ())[:1]):
        if hasattr(told, "model_spec") and told.HasField("model_spec"):
            return told.model_spec
    return model_pb2.ModelSpec()


def _code(context: grpc.ServicerContext, *, failed: bool) -> grpc.StatusCode:
    """Return the code that the caller sees."""
    if not context.is_active():
        late = context.time_remaining() == 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    code = context.code()  # type: ignore[attr-defined]  # what was set, or None
    return code or (grpc.StatusCode.UNKNOWN if failed else grpc.StatusCode.OK)
