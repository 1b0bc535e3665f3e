"""Ask a running server about its versions and tell it what to load, by TensorFlow Serving's own services."""

import dataclasses
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import grpc

from serving import errors
from serving.client.channel import typed_error
from serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

_LOAD_SECONDS = 300.0  # a server may load before it answers


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """How far a server has come with a version."""

    state: str  # START, LOADING, AVAILABLE, UNLOADING or END
    error: str = ""  # why it could not be loaded

    @property
    def serves(self) -> bool:
        """Whether requests can go to it."""
        return self.state == "AVAILABLE"

    @property
    def ended(self) -> bool:
        """Whether it is not loaded, nor on the way to be."""
        return self.state in ("UNLOADING", "END")


class ModelControl:
    """A connection to one server, for what it serves and is to serve.

    Args:
        target: Address as `host:port`.
        timeout: Seconds that a question may take.
        credentials: For TLS; plain text if not given.
    """

    def __init__(
        self, target: str, timeout: float = 5.0, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        self.target = target
        self._timeout = timeout
        self._secure = credentials is not None
        # A server that restarts is found again within a second.
        options = (("grpc.max_reconnect_backoff_ms", 1000),)
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def states(self, model_name: str) -> dict[int, VersionStatus]:
        """Return the status of each version by number.

        Raises:
            ServerUnavailable: No server answers.
            ModelNotFound: The server has no such model, or no version of it.
            ServingError: The server answered with another error.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model_name
        try:
            answer = self._models.GetModelStatus(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._meaning(error) from error
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {
            found.version: VersionStatus(name(found.state), found.status.error_message)
            for found in answer.model_version_status
        }

    def labels(self, model_name: str, names: Iterable[str]) -> dict[str, int]:
        """Return the version of each label that the server knows and whose version serves.

        Raises:
            ServerUnavailable: No server answers.
            ServingError: The server answered with another error.
        """
        found = {}
        for name in names:
            request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
            request.model_spec.name = model_name
            request.model_spec.version_label = name
            try:
                answer = self._predictions.GetModelMetadata(request, timeout=self._timeout)
            except grpc.RpcError as error:
                # The label is not known, or its version does not serve.
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    continue
                raise self._meaning(error) from error
            found[name] = answer.model_spec.version.value
        return found

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Tell the server what to serve.

        Raises:
            ServerUnavailable: No server answers.
            ServingError: The server refused; the message says why.
        """
        request = model_management_pb2.ReloadConfigRequest(config=config)
        try:
            self._models.HandleReloadConfigRequest(request, timeout=_LOAD_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise self._meaning(error) from error
            raise errors.ServingError(
                f"{self.target} refused to be reconfigured: {error.code().name}: {error.details()}"
            ) from error

    def _meaning(self, error: grpc.RpcError) -> errors.ServingError:
        return typed_error(error, self.target, self._timeout, self._secure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
