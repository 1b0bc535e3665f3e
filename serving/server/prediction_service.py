"""TensorFlow Serving's PredictionService."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving import errors
from serving.saved_model import SessionModel
from serving.server import classify, multi_inference, regress
from serving.server.core import ServerCore
from serving.server.example_input import serialized_examples
from serving.server.metrics import Metrics
from serving.server.predict import DEFAULT_SIGNATURE, predict
from serving.server.status import reporting, spec_of

_SIGNATURE_DEF = "signature_def"
_Response = TypeVar("_Response", classification_pb2.ClassificationResponse, regression_pb2.RegressionResponse)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Runs signatures of the versions that serve, and describes them.

    Args:
        core: The models.
        metrics: Told of every run of a model.
        method_name_check: Whether Classify and Regress insist on the method name of a signature.
    """

    def __init__(self, core: ServerCore, metrics: Metrics, *, method_name_check: bool) -> None:
        self._core = core
        self._metrics = metrics
        self._method_name_check = method_name_check

    @reporting
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:  # noqa: N802
        """Return the outputs of a signature, and which version answered."""
        with self._core.servable(spec_of(request)) as (version, model):
            ran = functools.partial(self._metrics.ran, "Predict", request.model_spec.name)
            response = predict(model, request, ran)
        response.model_spec.version.value = version
        self._core.log("predict_log", request.model_spec.name, request, response)
        return response

    @reporting
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """Return the classes and scores of each example."""
        response = self._of_examples(
            request, classify.check, classify.classify, classification_pb2.ClassificationResponse()
        )
        self._core.log("classify_log", request.model_spec.name, request, response)
        return response

    @reporting
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest
    ) -> regression_pb2.RegressionResponse:
        """Return the value of each example."""
        response = self._of_examples(
            request, regress.check, regress.regress, regression_pb2.RegressionResponse()
        )
        self._core.log("regress_log", request.model_spec.name, request, response)
        return response

    @reporting
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest
    ) -> inference_pb2.MultiInferenceResponse:
        """Return the result of each task."""
        with self._core.servable(multi_inference.model_spec(request)) as (version, model):
            response = multi_inference.multi_inference(
                model, version, request, method_name_check=self._method_name_check
            )
        self._core.log("multi_inference_log", multi_inference.model_spec(request).name, request, response)
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

    def _of_examples(
        self, request: Any, check: Callable[..., Any], run: Callable[..., Any], response: _Response
    ) -> _Response:
        """Fill a response with what a signature makes of the request's examples."""
        with self._core.servable(spec_of(request)) as (version, model):
            name = self._checked(model, request.model_spec, check)
            response.result.CopyFrom(run(model, name, serialized_examples(request.input)))
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = name
        response.model_spec.version.value = version
        return response

    def _checked(self, model: SessionModel, spec: model_pb2.ModelSpec, check: Callable[..., Any]) -> str:
        """Return the name of the signature that is asked for, if it is there and passes the check."""
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature: meta_graph_pb2.SignatureDef | None = model.signatures.get(name)
        if signature is None:
            raise errors.InvalidRequest(f"No signature was found with the name: {name}")
        check(signature, method_name_check=self._method_name_check)
        return name
