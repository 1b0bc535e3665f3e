"""Write the models that test_conformance.py asks about: `python …/conformance_models.py FOLDER`."""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
VERSIONS = {"conformance": (1, 2), "other": (1,)}
CONFIG = """model_config_list {{
  config {{
    name: "conformance" base_path: "{base}/conformance" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }}
  }}
  config {{ name: "other" base_path: "{base}/other" model_platform: "tensorflow" }}
}}
"""


def write(folder, base="/models"):
    """Write the models and their models.config; `base` is where the server sees the folder."""
    for name, versions in VERSIONS.items():
        for version in versions:
            _write_version(Path(folder, name, str(version)), version)
    broken = Path(folder, "broken", "1")
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"\xff" * 100)
    path = Path(folder, "models.config")
    path.write_text(CONFIG.format(base=base))
    return path


def _write_version(folder, version):
    """Answers hold the version as a number, so that it shows who answered."""
    with tf.Graph().as_default(), v1.Session() as session:
        bias = v1.get_variable("bias", initializer=float(version))
        x = v1.placeholder(tf.float32, [None, 3], "x")
        y = tf.matmul(x, np.array([[1], [10], [100]], np.float32)) + bias
        ids = v1.placeholder(tf.int64, [None], "ids")
        names = v1.placeholder(tf.string, [None], "names")
        flags = v1.placeholder(tf.bool, [None], "flags")
        path = v1.placeholder(tf.string, [], "path")
        serialized = v1.placeholder(tf.string, [None], "serialized")
        serialized_too = v1.placeholder(tf.string, [None], "serialized_too")
        score = _score(serialized) + bias
        labels = tf.tile([["low", "high"]], [tf.shape(score)[0], 1])
        pairs = tf.stack([score, -score], axis=1)
        classify = v1.saved_model.signature_constants.CLASSIFY_METHOD_NAME
        regress = v1.saved_model.signature_constants.REGRESS_METHOD_NAME
        signatures = {
            "serving_default": _signature(
                {"id": ids, "name": names},
                {
                    "next": ids + version,
                    "greeting": tf.strings.join(["hello ", names]),
                    "batch": tf.shape(ids, out_type=tf.int64),
                },
            ),
            "linear": _signature({"x": x}, {"y": y[:, 0]}),
            "divide": _signature({"id": ids}, {"quotient": 12 // ids}),
            "invert": _signature({"flag": flags}, {"inverse": tf.logical_not(flags)}),
            "read": _signature({"path": path}, {"content": tf.io.read_file(path)}),
            "classify": _signature({"inputs": serialized}, {"classes": labels, "scores": pairs}, classify),
            "classify_scores": _signature({"inputs": serialized}, {"scores": pairs}, classify),
            "classify_classes": _signature({"inputs": serialized}, {"classes": labels}, classify),
            "classify_flat": _signature({"inputs": serialized}, {"scores": score}, classify),
            "classify_other": _signature({"inputs": serialized}, {"others": pairs}, classify),
            "classify_sizes": _signature(
                {"inputs": serialized}, {"classes": labels, "scores": pairs[:, :1]}, classify
            ),
            "regress": _signature({"inputs": serialized}, {"outputs": score}, regress),
            "regress_column": _signature({"inputs": serialized}, {"outputs": score[:, None]}, regress),
            "regress_pairs": _signature({"inputs": serialized}, {"outputs": pairs}, regress),
            "regress_mean": _signature(
                {"inputs": serialized}, {"outputs": tf.reduce_mean(score, keepdims=True)}, regress
            ),
            "regress_double": _signature(
                {"inputs": serialized}, {"outputs": tf.cast(score, tf.float64)}, regress
            ),
            "regress_renamed": _signature({"examples": serialized}, {"outputs": score}, regress),
            "regress_two": _signature({"inputs": serialized, "more": ids}, {"outputs": score}, regress),
            "regress_elsewhere": _signature(
                {"inputs": serialized_too}, {"outputs": _score(serialized_too)}, regress
            ),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signature_def_map=signatures)
        builder.save()


def _score(serialized):
    """score = the first of "x" + 10 for each further one + 1000 where "country" is "NL"."""
    parsed = tf.io.parse_example(
        serialized,
        {
            "x": tf.io.FixedLenFeature([2], tf.float32),
            "country": tf.io.FixedLenFeature([], tf.string, default_value=""),
        },
    )
    return (
        parsed["x"][:, 0]
        + 10 * parsed["x"][:, 1]
        + 1000 * tf.cast(tf.equal(parsed["country"], "NL"), tf.float32)
    )


def _signature(inputs, outputs, method_name="tensorflow/serving/predict"):
    info = v1.saved_model.utils.build_tensor_info
    return v1.saved_model.signature_def_utils.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        method_name,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the models of the conformance test.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", default="/models", help="where the server sees the folder")
    arguments = parser.parse_args()
    if arguments.folder.exists():
        sys.exit(f"{arguments.folder} is there already")
    print(write(arguments.folder, arguments.base))
