"""TensorFlow Serving's ModelService."""

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving import errors
from serving.server.core import ServerCore
from serving.server.status import reporting, spec_of


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells the state of versions, and takes new configurations."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @reporting
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Return the state of every version of a model, or of one."""
        spec = spec_of(request)
        manager = self._core.models.get(spec.name)
        states = {} if manager is None else manager.states
        if manager is None or not states:
            raise errors.ModelNotFound(f"Could not find any versions of model {spec.name}")
        version = spec.version.value if spec.HasField("version") else None
        if version is not None:
            if version not in states:
                raise errors.ModelNotFound(f"Could not find version {version} of model {spec.name}")
            states = {version: states[version]}
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in sorted(states, reverse=True):
            state = states[version]
            status = response.model_version_status.add(version=version, state=state.state)
            status.status.error_code = state.code
            status.status.error_message = state.message
        return response

    @reporting
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """Return once the configuration has been taken over."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise errors.InvalidRequest(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._core.reload(request.config)
        return model_management_pb2.ReloadConfigResponse()
