"""Load the local server, with and without batching, beside the same model called in this process.

    python tests/benchmarks/server.py [--model FOLDER] [--seconds S] [--quick]

Closed loop: each client sends its next request when it has the answer to the last; `clients.py` tells what
that costs. The table has milliseconds a request and requests a second. The floor is `SessionModel.run` in
this process, one request after the other, before the servers start. "no model" is a server of gRPC in Python
that answers with nothing: its gain is the most that batching could reach. `rank` runs by itself with
batching too: how far its gain is from 1 tells the noise. Without a model, an untrained one of the preset
`gradient` is made, with vocabularies of MovieLens 1M's size.
"""

import argparse
import base64
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import StandardOptions
from google.protobuf import text_format
from rich.console import Console
from rich.table import Table
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

from components.deepfm.config import DeepFMConfig
from components.deepfm.drawing import example_model
from components.trainer.export import export
from components.transform.config import TransformConfig
from components.transform.preprocessing import preprocessing_fn
from schema import features
from serving import versions, wire
from serving.saved_model import SessionModel

ROOT = Path(__file__).parents[2]
USERS, MOVIES, RATED_MOVIES = 6040, 3883, 3706
GENRES = np.array(
    ["Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
     "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"]
)  # fmt: skip
AGES = (1, 18, 25, 35, 45, 50, 56)
BATCHING = "max_enqueued_batches { value: 64 }\n"
WARM_SECONDS = 0.3
NO_MODEL = "no model"
TABLE_WIDTH = 100  # at least, where the output is no terminal


@dataclasses.dataclass(frozen=True)
class Measured:
    """How long each request took, and over what time."""

    milliseconds: np.ndarray
    seconds: float

    @property
    def percentiles(self) -> list[float]:
        """The 50th, 95th and 99th."""
        return np.percentile(self.milliseconds, (50, 95, 99)).tolist()

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.milliseconds) / self.seconds


def raw_rows(random: np.random.Generator, uids: np.ndarray, mids: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs of `predict` for pairs of user and movie."""
    rows = len(uids)
    genres = random.choice(GENRES, (rows, 4))
    genres[random.random((rows, 4)) < 0.6] = ""
    return {
        features.UID.name: uids,
        features.MID.name: mids,
        features.GENRES.name: np.char.encode(genres).astype(object),
        features.GENDER.name: random.choice([b"F", b"M"], rows).astype(object),
        features.AGE.name: random.choice(AGES, rows),
        features.OCCUPATION.name: random.integers(0, 21, rows),
        features.ZIP.name: random.integers(10000, 99999, rows).astype("S5").astype(object),
        features.TIMESTAMP.name: random.integers(956_703_932, 1_046_454_591, rows),
    }


def write_model(folder: Path) -> None:
    """Export an untrained model with a transform graph made by TensorFlow Transform."""
    StandardOptions.DEFAULT_RUNNER = "FnApiRunner"
    random = np.random.default_rng(0)
    pairs = np.arange(USERS)
    columns = raw_rows(random, 1 + pairs % USERS, 1 + pairs % RATED_MOVIES)
    columns[features.RATING.name] = random.integers(1, 6, len(pairs)).astype(np.float32)
    rows = [
        {
            name: [value for value in column[row] if value]
            if name == features.GENRES.name
            else [column[row]]
            if name == features.ZIP.name
            else column[row]
            for name, column in columns.items()
        }
        for row in pairs
    ]
    schema = text_format.Parse(features.SCHEMA_PATH.read_text(), schema_pb2.Schema())
    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec({name: spec[name] for name in columns})
    config = TransformConfig()
    custom = {"transform_config": config.to_json()}
    with tempfile.TemporaryDirectory() as graph:
        with tft_beam.Context(temp_dir=f"{graph}/tmp"):
            transform_fn = (rows, metadata) | tft_beam.AnalyzeDataset(
                lambda raw: preprocessing_fn(raw, custom)
            )
            _ = transform_fn | tft_beam.WriteTransformFn(f"{graph}/graph")
        metadata_io.write_metadata(metadata, f"{graph}/graph/metadata")
        model = example_model(DeepFMConfig(), "deepfm", config.max_genres)
        export(model, tft.TFTransformOutput(f"{graph}/graph"), str(folder))


def make_requests() -> dict[str, tuple[str, dict[str, np.ndarray]]]:
    """Return the signature and the inputs of each kind of request."""
    random = np.random.default_rng(1)
    requests = {}
    for rows in (1, 100, 1000):
        pairs = random.integers(1, USERS, rows), random.integers(1, MOVIES, rows)
        requests[f"predict {rows:,}"] = ("predict", raw_rows(random, *pairs))
    inputs = raw_rows(random, np.full(MOVIES, 1), np.arange(1, MOVIES + 1))
    for feature in (features.UID, *features.USER_FEATURES, *features.CONTEXT_FEATURES):
        inputs[feature.name] = inputs[feature.name][:1]
    requests[f"rank {MOVIES:,}"] = ("rank", inputs)
    return requests


def serialized(signature: str, inputs: dict[str, np.ndarray]) -> str:
    """Return a request as the clients take it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = versions.MODEL_NAME
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(wire.encode(value))
    return base64.b64encode(request.SerializeToString()).decode()


def measure_here(call: Callable[[], object], seconds: float) -> Measured:
    """Call again and again."""
    for _ in range(5):
        call()
    took, begin = [], time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - start))
    return Measured(np.array(took), time.perf_counter() - begin)


def local_server(serving: Path, *flags: str) -> list[str]:
    """Return the command of a local server."""
    return [
        "-m", "serving.server", "--port=0", f"--model_base_path={serving}",
        "--grpc_max_threads=32", "--file_system_poll_wait_seconds=0", *flags,
    ]  # fmt: skip


@contextlib.contextmanager
def running_server(arguments: list[str]) -> Iterator[str]:
    """Run a server in a process of its own, and give its address."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@contextlib.contextmanager
def running_clients() -> Iterator[subprocess.Popen[str]]:
    """Start the process of the clients, which waits for jobs and ends with its input."""
    command = [sys.executable, str(Path(__file__).with_name("clients.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        clients.stdout.readline()
        yield clients


def measure_server(
    clients: subprocess.Popen[str], count: int, target: str, request: str, seconds: float
) -> tuple[Measured, predict_pb2.PredictResponse]:
    """Let so many clients send a request for a while, and return one of the answers too."""
    assert clients.stdin is not None
    assert clients.stdout is not None
    start = time.time() + WARM_SECONDS
    job = {
        "target": target,
        "clients": count,
        "request": request,
        "start": start,
        "stop": start + seconds,
    }
    clients.stdin.write(json.dumps(job) + "\n")
    clients.stdin.flush()
    done = json.loads(clients.stdout.readline())
    answer = predict_pb2.PredictResponse.FromString(base64.b64decode(done["answer"]))
    return Measured(np.array(done["milliseconds"]), seconds), answer


def run(
    serving: Path, seconds: float, concurrencies: tuple[int, ...]
) -> dict[tuple[str, str, int], Measured]:
    """Measure every kind of request.

    Args:
        serving: The serving folder, with one version in it.
        seconds: How long each measurement takes.
        concurrencies: How many clients there are, rising.

    Returns:
        The figures by request, by "floor", "no model", "server" or "batching", and by concurrency.
    """
    requests = make_requests()
    measured: dict[tuple[str, str, int], Measured] = {}
    expected = {}
    with SessionModel(serving / "1") as model:
        for kind, (signature, inputs) in requests.items():
            expected[kind] = model.run(signature, inputs)[features.RATING.name]
            measured[kind, "floor", 1] = measure_here(lambda s=signature, i=inputs: model.run(s, i), seconds)
    batching = serving.parent / "batching.config"
    batching.write_text(BATCHING)
    batching_flags = ("--enable_batching=true", f"--batching_parameters_file={batching}")
    # All are up throughout and take turns, so that what else the machine does falls on all alike.
    with (
        running_clients() as clients,
        running_server([str(Path(__file__).with_name("no_model.py"))]) as empty,
        running_server(local_server(serving)) as plain,
        running_server(local_server(serving, *batching_flags)) as batched,
    ):
        targets = {NO_MODEL: empty, "server": plain, "batching": batched}
        for kind, request in requests.items():
            for target in targets.values():
                # The first run of a signature optimizes its graph.
                measure_server(clients, 1, target, serialized(*request), 0.0)
            for concurrency in concurrencies:
                for name, target in targets.items():
                    measured[kind, name, concurrency], answer = measure_server(
                        clients, concurrency, target, serialized(*request), seconds
                    )
                    if name != NO_MODEL:
                        ratings = wire.decode(answer.outputs[features.RATING.name])
                        np.testing.assert_allclose(ratings, expected[kind], atol=1e-4)
    return measured


def table(measured: dict[tuple[str, str, int], Measured]) -> Table:
    """Set the figures out."""
    drawn = Table("request", "clients", "", "p50 ms", "p95 ms", "p99 ms", "a second", "over floor", "gain")
    for column in drawn.columns[:3]:
        column.no_wrap = True
    for column in drawn.columns[3:]:
        column.justify = "right"
    last = None
    for (kind, name, concurrency), figures in sorted(
        measured.items(), key=lambda item: ([*measured].index((item[0][0], "floor", 1)), item[0][2])
    ):
        if last not in (None, kind):
            drawn.add_section()
        last = kind
        floor = measured[kind, "floor", 1]
        drawn.add_row(
            kind,
            str(concurrency) if name != "floor" else "",
            name,
            *(f"{value:.2f}" for value in figures.percentiles),
            f"{figures.rate:,.0f}",
            "" if name == "floor" else f"{figures.percentiles[0] - floor.percentiles[0]:+.2f}",
            ""
            if name in ("floor", "server")
            else f"{figures.rate / measured[kind, 'server', concurrency].rate:.2f}",
        )
    return drawn


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="folder of a SavedModel, such as a version that is served")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="1 and 2 clients for a tenth of a second each")
    arguments = parser.parse_args()
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    with tempfile.TemporaryDirectory() as folder, console.status("making a model") as status:
        serving = Path(folder, "serving")
        serving.mkdir()
        if arguments.model is None:
            write_model(serving / "1")
        else:
            (serving / "1").symlink_to(arguments.model.absolute())
        status.update("measuring")
        seconds, concurrencies = (0.1, (1, 2)) if arguments.quick else (arguments.seconds, (1, 4, 16))
        measured = run(serving, seconds, concurrencies)
    console.print(table(measured))
    console.print(f"{os.cpu_count()} cores, shared by server and clients")


if __name__ == "__main__":
    main()
