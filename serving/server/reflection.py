"""Server reflection, so that tools such as grpcurl need no proto files. TensorFlow Serving has none."""

from types import ModuleType
from typing import Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE = "tensorflow.serving"
# Each method, where its messages are, and what they are called before "Request" and "Response".
_METHODS: dict[str, dict[str, tuple[ModuleType, str]]] = {
    "PredictionService": {
        "Classify": (classification_pb2, "Classification"),
        "Regress": (regression_pb2, "Regression"),
        "Predict": (predict_pb2, "Predict"),
        "MultiInference": (inference_pb2, "MultiInference"),
        "GetModelMetadata": (get_model_metadata_pb2, "GetModelMetadata"),
    },
    "ModelService": {
        "GetModelStatus": (get_model_status_pb2, "GetModelStatus"),
        "HandleReloadConfigRequest": (model_management_pb2, "ReloadConfig"),
    },
}
_FILES = {"PredictionService": "prediction_service.proto", "ModelService": "model_service.proto"}

SERVICES: Final = tuple(f"{_PACKAGE}.{service}" for service in _METHODS)
"""The full names of TensorFlow Serving's services."""


def enable(server: grpc.Server) -> None:
    """Let a server describe its services."""
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, _pool())


def _pool() -> descriptor_pool.DescriptorPool:
    """Return the descriptors with those of the services.

    tensorflow-serving-api has these too, in modules that do not import with this protobuf.
    """
    pool = descriptor_pool.Default()
    for service, methods in _METHODS.items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"tensorflow_serving/apis/{_FILES[service]}",
            package=_PACKAGE,
            syntax="proto3",
            dependency=[module.DESCRIPTOR.name for module, _ in methods.values()],
        )
        described = file.service.add(name=service)
        for method, (_, messages) in methods.items():
            described.method.add(
                name=method,
                input_type=f".{_PACKAGE}.{messages}Request",
                output_type=f".{_PACKAGE}.{messages}Response",
            )
        pool.AddSerializedFile(file.SerializeToString())
    return pool
