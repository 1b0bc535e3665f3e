"""TensorFlow Serving's PredictionService."""

import functools

from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from serving import errors
from serving.server.core import ServerCore
from serving.server.metrics import Metrics
from serving.server.predict import predict
from serving.server.status import reporting, spec_of

_SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Runs signatures of the versions that serve, and describes them."""

    def __init__(self, core: ServerCore, metrics: Metrics) -> None:
        self._core = core
        self._metrics = metrics

    @reporting
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:  # noqa: N802
        """Return the outputs of a signature, and which version answered."""
        with self._core.servable(spec_of(request)) as (version, model):
            ran = functools.partial(self._metrics.ran, "Predict", request.model_spec.name)
            response = predict(model, request, ran)
        response.model_spec.version.value = version
        return response

    @reporting
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return the signatures of a version."""
        spec = spec_of(request)
        if not request.metadata_field:
            raise errors.InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise errors.InvalidRequest(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._core.servable(spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response
