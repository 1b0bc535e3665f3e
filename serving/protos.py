"""TensorFlow Serving's protos, without importing TensorFlow, which takes seconds.

The generated modules of tensorflow-serving-api import `tensorflow.core…_pb2`, and with that the whole of
TensorFlow. Those modules need nothing of it but their own folder. So, where TensorFlow is not imported yet,
they are imported under empty parent packages, which are taken away again at once: a later
`import tensorflow` gets the real one, with the same message classes (protobuf keeps one for each message).
"""

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARENTS = (
    "tensorflow",
    "tensorflow.core",
    "tensorflow.core.example",
    "tensorflow.core.framework",
    "tensorflow.core.protobuf",
)


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Let `tensorflow.core…_pb2` be imported by themselves."""
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("tensorflow is not installed; its protos are needed")
    root = Path(spec.origin).parent
    for name in _PARENTS:
        module = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n == "tensorflow" or n.startswith("tensorflow.")]:
            del sys.modules[name]


with _without_tensorflow():
    from tensorflow.core.example import example_pb2
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
    from tensorflow_serving.config import logging_config_pb2, model_server_config_pb2

__all__ = [
    "example_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "logging_config_pb2",
    "model_management_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2_grpc",
    "tensor_pb2",
    "types_pb2",
]
