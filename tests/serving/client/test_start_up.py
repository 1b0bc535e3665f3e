"""In a fresh interpreter: what the client imports."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_it_imports_neither_tensorflow_nor_the_pipeline():
    code = "import json, sys, serving.client; print(json.dumps([n.partition('.')[0] for n in sys.modules]))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(json.loads(answer.stdout))
    assert "serving" in imported
    assert imported.isdisjoint(
        {"tensorflow", "tfx", "apache_beam", "tensorflow_transform", "tfx_bsl", "pipeline", "components"}
    )
