import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_benchmark_times_every_way(serving):
    ran = subprocess.run(
        [sys.executable, "tests/benchmarks/batch.py", serving / "1", "--rows=50"],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
    )  # fmt: skip
    rows = [
        tuple(cell.strip() for cell in line.split("│")[1:3])
        for line in ran.stdout.splitlines()
        if line.startswith("│")
    ]
    assert rows == [
        ("deepfm batch", "50"),
        ("deepfm batch", "200"),
        ("TFX's RunInference", "200"),
        ("gRPC, a request a pair", "200"),
    ]
