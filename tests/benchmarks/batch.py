"""Time `deepfm batch`, and watch its memory, beside two other ways to rate pairs with the same version.

    python tests/benchmarks/batch.py MODEL [--rows N]

MODEL is the folder of a version that is served. `deepfm batch` runs as a process of its own on N and on 4 N
pairs of known users and movies, its start counted in. Beside it stand TFX's own batch inference
(tfx_bsl's RunInference on tf.Examples, as BulkInferrer runs it), and the local server, in this process,
asked for one pair after the other. Both work on fewer rows, since they take longer, and leave out the start:
the imports, and the making of tf.Examples or the loading of the server's model.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from schema import features
from serving import catalogue, wire
from serving.quiet_imports import quiet_imports

with quiet_imports():
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tfx_bsl.public.beam import RunInference
    from tfx_bsl.public.proto import model_spec_pb2

    from pipeline.batch.questions import PREDICTION
    from pipeline.beam_profiles import BeamConfig
    from serving.client import Client
    from serving.client.logic import EXAMPLES_SIGNATURE, examples_of
    from serving.protos import example_pb2
    from serving.server.config import ServerConfig
    from serving.server.server import Server

ROOT = Path(__file__).parents[2]
EXAMPLE_ROWS = 50_000
ONE_BY_ONE_ROWS = 2_000
MOMENT = 978_307_200  # that is asked about, seconds since 1970-01-01 UTC
DAY = "2001-01-01"  # the same


def run_command(model: Path, folder: Path, pairs: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Run `deepfm batch`; return its seconds, its peak memory in MB and the ratings."""
    columns = {feature.name: pairs[:, i] for i, feature in enumerate((features.UID, features.MID))}
    pq.write_table(pa.table(columns), folder / f"{len(pairs)}.parquet")
    output = folder / f"rated-{len(pairs)}"
    start = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from pipeline.cli import main; main()", "batch",
            f"--input={folder / f'{len(pairs)}.parquet'}", f"--output={output}",
            f"--model_base_path={model.parent}", f"--version={model.name}",
            f"--time={DAY}",
        ],
        stdout=subprocess.DEVNULL, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    seconds = time.perf_counter() - start
    return seconds, used.ru_maxrss / 1000, pq.read_table(output)[PREDICTION].to_numpy()


def run_tfx(model: Path, known: catalogue.Catalogue, pairs: np.ndarray) -> float:
    """Return the seconds of TFX's batch inference."""
    inputs = known.predict_inputs(pairs[:, 0], pairs[:, 1], MOMENT)
    examples = [example_pb2.Example.FromString(each) for each in examples_of(inputs, len(pairs))]
    spec = model_spec_pb2.InferenceSpecType()
    spec.saved_model_spec.model_path = str(model)
    spec.saved_model_spec.signature_name.append(EXAMPLES_SIGNATURE)
    start = time.perf_counter()
    with beam.Pipeline(options=PipelineOptions(list(BeamConfig().args))) as pipeline:
        _ = pipeline | beam.Create(examples, reshuffle=False) | RunInference(spec)
    return time.perf_counter() - start


def run_one_by_one(model: Path, known: catalogue.Catalogue, pairs: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the seconds of one request for each pair, and the ratings."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, model.name).symlink_to(model.absolute())
        server = Server(ServerConfig(model_base_path=Path(folder), port=0, grpc_max_threads=4))
        server.start()
        with Client(f"{wire.HOST}:{server.port}", known) as client:
            client.predict(pairs[:1], MOMENT)
            start = time.perf_counter()
            ratings = [client.predict(pairs[row : row + 1], MOMENT) for row in range(len(pairs))]
            seconds = time.perf_counter() - start
        server.stop(0)
    return seconds, np.concatenate(ratings)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, help="folder of a version that is served")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the smaller run")
    arguments = parser.parse_args()
    console = Console()
    known = catalogue.Catalogue.load(arguments.model / catalogue.FOLDER)
    random = np.random.default_rng(0)
    pairs = np.stack([random.choice(ids, 4 * arguments.rows) for ids in (known.uids, known.mids)], axis=1)
    table = Table("", "rows", "seconds", "rows a second", "peak MB")
    with tempfile.TemporaryDirectory() as folder, console.status("measuring"):
        for rows in (arguments.rows, 4 * arguments.rows):
            seconds, megabytes, rated = run_command(arguments.model, Path(folder), pairs[:rows])
            table.add_row(
                "deepfm batch", f"{rows:,}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{megabytes:,.0f}"
            )
        few = pairs[:EXAMPLE_ROWS]
        seconds = run_tfx(arguments.model, known, few)
        table.add_row("TFX's RunInference", f"{len(few):,}", f"{seconds:.1f}", f"{len(few) / seconds:,.0f}")
        few = pairs[:ONE_BY_ONE_ROWS]
        seconds, ratings = run_one_by_one(arguments.model, known, few)
        np.testing.assert_allclose(rated[: len(few)], ratings, atol=1e-5)
        table.add_row(
            "gRPC, a request a pair", f"{len(few):,}", f"{seconds:.1f}", f"{len(few) / seconds:,.0f}"
        )
    console.print(table)


if __name__ == "__main__":
    # RunInference warns that its loader is deprecated, and that it does not measure memory.
    logging.disable(logging.WARNING)
    main()
