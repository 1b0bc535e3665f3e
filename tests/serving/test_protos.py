"""In fresh interpreters: what is imported, and that a later TensorFlow is the real one."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.splitlines()


def test_they_come_without_tensorflow():
    code = """
import sys
from serving import protos
request = protos.predict_pb2.PredictRequest()
request.inputs["x"].dtype = protos.types_pb2.DT_FLOAT
print([name for name in sys.modules if name.split(".")[0] == "tensorflow"])
print(type(request.inputs["x"]) is protos.tensor_pb2.TensorProto)
"""
    assert _run(code) == ["[]", "True"]


def test_tensorflow_may_come_after_them():
    code = """
from serving import protos
import tensorflow as tf
request = protos.predict_pb2.PredictRequest()
made = tf.make_tensor_proto([1.5])
request.inputs["x"].CopyFrom(made)
print(tf.make_ndarray(request.inputs["x"]).tolist(), type(made) is protos.tensor_pb2.TensorProto)
print(tf.train.Example is protos.example_pb2.Example)
"""
    assert _run(code) == ["[1.5] True", "True"]


def test_tensorflow_may_come_before_them():
    code = """
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from serving import protos
print(protos.predict_pb2 is predict_pb2, tf.constant(1).numpy())
"""
    assert _run(code) == ["True 1"]
