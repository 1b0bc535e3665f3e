"""What a tool such as grpcurl does: ask the server for its services and types, and call one by JSON."""

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from schema import features
from serving import wire


@pytest.fixture
def call(server):
    """Call a method with what its request is as JSON, knowing nothing but what the server tells."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)

        def run(service, method, request):
            assert service in database.get_services()
            found = pool.FindServiceByName(service).FindMethodByName(method)
            send = channel.unary_unary(
                f"/{service}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(found.output_type).FromString,
            )
            message = json_format.ParseDict(
                request, GetMessageClass(found.input_type)(), descriptor_pool=pool
            )
            return json_format.MessageToDict(send(message, timeout=20), descriptor_pool=pool)

        yield run


def test_predict(call, movie_catalogue):
    inputs = {
        name: json_format.MessageToDict(wire.encode(value))
        for name, value in movie_catalogue.predict_inputs([1, 6040], [1193, 661]).items()
    }
    answer = call(
        "tensorflow.serving.PredictionService",
        "Predict",
        {"modelSpec": {"name": "deepfm", "signatureName": "predict"}, "inputs": inputs},
    )
    assert answer["modelSpec"] == {"name": "deepfm", "version": "1", "signatureName": "predict"}
    assert answer["outputs"][features.RATING.name]["floatVal"] == pytest.approx(
        [1.9375 + 1 / 1024 + 10 / 2048 + 5 / 4096, 1 + 5 / 8 + 3 / 16 + 25 / 1024 + 6 / 2048]
    )


def test_the_state_of_the_versions(call):
    answer = call("tensorflow.serving.ModelService", "GetModelStatus", {"modelSpec": {"name": "deepfm"}})
    assert answer == {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {}}]}


def test_health(call):
    assert call("grpc.health.v1.Health", "Check", {}) == {"status": "SERVING"}
