"""Ask a running server about its versions, by TensorFlow Serving's ModelService."""

from types import TracebackType
from typing import Self

import grpc

from serving.protos import get_model_status_pb2, model_service_pb2_grpc


class ModelControl:
    """A connection to a server's ModelService.

    Args:
        target: Address as `host:port`.
        timeout: Seconds that a call may take.
    """

    def __init__(self, target: str, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._channel = grpc.insecure_channel(target)
        self._stub = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def states(self, model_name: str) -> dict[int, str]:
        """Return the state of each version by number; empty where there is no such model, or no server."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model_name
        try:
            answer = self._stub.GetModelStatus(request, timeout=self._timeout)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                return {}
            raise
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {status.version: name(status.state) for status in answer.model_version_status}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
