"""Ask a running server about its versions, by TensorFlow Serving's ModelService."""

from types import TracebackType
from typing import Self

import grpc

from serving.client.channel import TlsConfig, open_channel, typed_error
from serving.protos import get_model_status_pb2, model_service_pb2_grpc


class ModelControl:
    """A connection to a server's ModelService.

    Args:
        target: Address as `host:port`.
        tls: Files of a connection over TLS; None for plain text.
        timeout: Seconds that a call may take.

    Raises:
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(self, target: str, tls: TlsConfig | None = None, timeout: float = 5.0) -> None:
        self._target = target
        self._tls = tls
        self._timeout = timeout
        self._channel = open_channel(grpc, target, tls)
        self._stub = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def states(self, model_name: str) -> dict[int, str]:
        """Return the state of each version by number.

        Raises:
            ServerUnavailable: There is no server.
            ModelNotFound: The server has no such model.
            ServingError: Another subclass for each other way to fail.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model_name
        try:
            answer = self._stub.GetModelStatus(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise typed_error(error, self._target, self._timeout, self._tls is not None) from error
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
