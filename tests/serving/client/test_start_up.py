"""In fresh interpreters: what the client imports, and how long that takes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _imported():
    """Return seconds and the top-level modules."""
    code = """
import json, sys, time
started = time.perf_counter()
import serving.client
seconds = time.perf_counter() - started
print(json.dumps([seconds, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def test_it_imports_neither_tensorflow_nor_the_pipeline():
    _, imported = _imported()
    assert "serving" in imported
    assert set(imported).isdisjoint(
        {"tensorflow", "tfx", "apache_beam", "tensorflow_transform", "tfx_bsl", "pipeline", "components"}
    )


def test_it_starts_in_a_fraction_of_what_tensorflow_takes():
    code = "import time; start = time.perf_counter(); import tensorflow; print(time.perf_counter() - start)"
    tensorflow = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The best of several, for other processes may have the cores.
    assert min(_imported()[0] for _ in range(3)) < float(tensorflow.stdout) / 4
