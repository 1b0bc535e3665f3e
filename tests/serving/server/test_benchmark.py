import os
import subprocess
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_benchmark_measures_every_request_with_and_without_batching(model_folder):
    ran = subprocess.run(
        [sys.executable, "tests/benchmarks/server.py", f"--model={model_folder}", "--quick"],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
    )  # fmt: skip
    rows = [
        tuple(cell.strip() for cell in line.split("│")[1:4])
        for line in ran.stdout.splitlines()
        if line.startswith("│")
    ]
    assert rows == [
        (request, *how)
        for request in ("predict 1", "predict 100", "predict 1,000", "rank 3,883")
        for how in (("", "floor"), *product("12", ("no model", "server", "batching")))
    ]
