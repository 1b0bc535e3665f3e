"""Switch versions under steady load, and kill the server: no request may fail, and none get a wrong answer.

    python tests/benchmarks/switching.py MODEL [MODEL ...] [--seconds S] [--clients N] [--rate R]

`deepfm serve` on a serving folder of its own; client processes send `predict` at a steady rate. Ten switches
at equal distances: eight releases of the given models in turn, one of a version whose variables are cut off,
which must never get the label, and the rollback after it. At the end the server is killed (SIGKILL) in
mid-load and started again. Every answer must be that of a version which was released at the time: from the
release until the server's label had left it. Exit status 1 where a request failed or an answer was wrong.

"In a switch" is from a release until half a second after the label has moved.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

from serving import release, versions
from serving.catalogue import FOLDER, Catalogue
from serving.client import CanaryRouter, Client
from serving.control import ModelControl
from serving.errors import ServingError
from serving.launch import free_port
from serving.wire import HOST

MOMENT = 1_000_000_000  # that is asked about, seconds since 1970-01-01 UTC
SWITCHES = 10
BROKEN, ROLLBACK = 4, 5  # which of the switches
SETTLE_SECONDS = 0.5

Sent: TypeAlias = tuple[float, float, list[float] | str]  # start, end, and the answer or what failed


def load(target: str, folder: Path, rate: float, ready: Any, stop: Any, sent: Any) -> None:
    """Send requests at a rate until told to stop; hand over start, end and answer, or error, of each."""
    tables = Catalogue.load(folder)
    pairs = [(int(tables.uids[0]), int(mid)) for mid in tables.mids[:2]]
    found: list[Sent] = []
    with Client(target, tables, timeout=60.0, router=CanaryRouter(percent=0.0)) as client:
        client.predict(pairs, MOMENT)
        ready.wait()
        due = time.monotonic()
        while not stop.is_set():
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.monotonic()
            try:
                answer: list[float] | str = client.predict(pairs, MOMENT).tolist()
            except ServingError as error:
                answer = f"{type(error).__name__}: {error}"
            found.append((start, time.monotonic(), answer))
    sent.put(found)


@contextlib.contextmanager
def server(base_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `deepfm serve`."""
    deepfm = Path(sys.executable).with_name("deepfm")
    command = [deepfm, "serve", f"--model_base_path={base_path}", f"--port={port}"]
    with (base_path.parent / "server.log").open("a+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-2000:])
            raise
        finally:
            process.terminate()
            process.wait()


def answers_of(model: Path) -> list[float]:
    """Return what a model answers to what the clients ask, called in this process."""
    from schema import features  # noqa: PLC0415
    from serving.saved_model import SessionModel  # noqa: PLC0415  (TensorFlow, which clients do not need)

    tables = Catalogue.load(model / FOLDER)
    mids = tables.mids[:2]
    with SessionModel(model) as loaded:
        inputs = tables.predict_inputs([int(tables.uids[0])] * len(mids), mids, MOMENT)
        rating: list[float] = loaded.run("predict", inputs)[features.RATING.name].tolist()
    return rating


def tensorflow_import_seconds() -> float:
    """Return how long a new process takes to import TensorFlow."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import tensorflow"], capture_output=True, check=True)
    return time.monotonic() - start


@dataclasses.dataclass
class Stable:
    """A version while it was the stable one."""

    version: int
    answers: list[float]
    since: float  # released
    left: float = math.inf  # the label was another version's


class Releases:
    """Releases versions, and knows when each was the stable one.

    Args:
        work: An empty folder.
        models: Published in turn.
        control: A connection to the server.
    """

    def __init__(self, work: Path, models: list[Path], control: ModelControl) -> None:
        self.base_path = work / "serving" / versions.MODEL_NAME
        self.windows: list[tuple[float, float]] = []
        self.history: list[Stable] = []
        self._models = itertools.cycle([(model, answers_of(model)) for model in models])
        self._control = control
        self._broken = work / "broken"
        shutil.copytree(models[0], self._broken)
        next((self._broken / "variables").glob("*.data-*")).write_bytes(b"")

    def publish(self) -> int:
        """Release the next model."""
        model, answers = next(self._models)
        version = versions.publish(model, self.base_path, fingerprint=str(len(self.history)))
        self.history.append(Stable(version, answers, time.monotonic()))
        release.publish(self.base_path, version)
        return version

    def publish_broken(self, seconds: float) -> None:
        """Release a version that cannot be loaded, and look on for a while."""
        start = time.monotonic()
        version = versions.publish(self._broken, self.base_path, fingerprint="broken")
        release.publish(self.base_path, version)
        time.sleep(seconds)
        stable = {release.STABLE: self.history[-1].version}
        if self._control.labels(versions.MODEL_NAME, [release.STABLE]) != stable:
            raise RuntimeError(f"the label left version {self.history[-1].version}")
        self.windows.append((start, time.monotonic()))

    def roll_back(self) -> None:
        """Go back to the version before the last sound one."""
        back = self.history[-2]
        start = time.monotonic()
        release.rollback(self.base_path, "the last one is broken", version=back.version)
        self.history.append(Stable(back.version, back.answers, start))
        self._follow(start)

    def switch(self) -> None:
        """Release the next model, and wait until the label has moved."""
        start = time.monotonic()
        self.publish()
        self._follow(start)

    def wait(self) -> float:
        """Return when the server's label has reached the version that was released last."""
        wanted = {release.STABLE: self.history[-1].version}
        for _ in range(1200):
            with contextlib.suppress(ServingError):
                if self._control.labels(versions.MODEL_NAME, [release.STABLE]) == wanted:
                    return time.monotonic()
            time.sleep(0.1)
        raise TimeoutError(f"the label did not reach version {self.history[-1].version}")

    def right(self, start: float, end: float, answer: list[float]) -> bool:
        """Return whether an answer is that of a version which was stable between two times."""
        return any(
            stable.since <= end and start <= stable.left and np.allclose(answer, stable.answers, atol=1e-5)
            for stable in self.history
        )

    def _follow(self, start: float) -> None:
        self.history[-2].left = self.wait()
        self.windows.append((start, self.history[-2].left + SETTLE_SECONDS))


def run(
    models: list[Path], work: Path, seconds: float, clients: int, rate: float
) -> tuple[list[Sent], Releases, dict[str, float]]:
    """Switch and kill under load; return what was sent, what was released, and times on the way."""
    port = free_port(0)
    target = f"{HOST}:{port}"
    context = multiprocessing.get_context("spawn")
    ready, stop, sent = context.Barrier(clients + 1), context.Event(), context.Queue()
    with contextlib.ExitStack() as running:
        releases = Releases(work, models, running.enter_context(ModelControl(target)))
        releases.publish()
        process = running.enter_context(server(releases.base_path, port))
        releases.wait()
        workers = [
            context.Process(
                target=load, args=(target, models[0] / FOLDER, rate, ready, stop, sent), daemon=True
            )
            for _ in range(clients)
        ]
        for worker in workers:
            worker.start()
        ready.wait(timeout=120)
        began = time.monotonic()
        pause = seconds / (SWITCHES + 1)
        for switch in range(SWITCHES):
            time.sleep(max(0.0, began + (switch + 1) * pause - time.monotonic()))
            if switch == BROKEN:
                releases.publish_broken(min(pause, 5.0))
            elif switch == ROLLBACK:
                releases.roll_back()
            else:
                releases.switch()
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        killed = time.monotonic()
        process.kill()
        process.wait()
        running.enter_context(server(releases.base_path, port))
        back = releases.wait()
        time.sleep(2)
        stop.set()
        found = [entry for _ in workers for entry in sent.get(timeout=120)]
    return found, releases, {"began": began, "killed": killed, "back": back}


def figures(found: list[Sent], releases: Releases, times: dict[str, float]) -> dict[str, Any]:
    """Return what is to be shown."""
    failed = [answer for *_, answer in found if isinstance(answer, str)]
    wrong = [sent for sent in found if not isinstance(sent[2], str) and not releases.right(*sent)]
    spans = np.array([(start, end) for start, end, _ in found])
    milliseconds = 1000 * (spans[:, 1] - spans[:, 0])
    quiet = (spans[:, 0] >= times["began"]) & (spans[:, 1] < times["killed"])
    in_switch = np.zeros(len(spans), bool)
    for start, end in releases.windows:
        in_switch |= (spans[:, 1] >= start) & (spans[:, 0] <= end)
    at_rest, switching = milliseconds[quiet & ~in_switch], milliseconds[quiet & in_switch]
    return {
        "requests": len(found),
        "failed": len(failed),
        "errors": sorted(set(failed))[:5],
        "wrong answers": len(wrong),
        "switches": len(releases.windows),
        "p50 at rest, ms": float(np.percentile(at_rest, 50)),
        "p99 at rest, ms": float(np.percentile(at_rest, 99)),
        "p99 in a switch, ms": float(np.percentile(switching, 99)),
        "longest in a switch, ms": float(switching.max()),
        "a switch, s": float(np.mean([end - start for start, end in releases.windows])) - SETTLE_SECONDS,
        "serving again after the kill, s": times["back"] - times["killed"],
        "importing TensorFlow, s": tensorflow_import_seconds(),
        "longest over the kill, ms": float(milliseconds[spans[:, 1] >= times["killed"]].max()),
    }


def main() -> None:
    """Measure, print a table, or JSON where the output is no terminal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, help="folder of a complete SavedModel")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load with switches")
    parser.add_argument("--clients", type=int, default=4, help="processes")
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second of each")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        shown = figures(*run(flags.models, Path(work), flags.seconds, flags.clients, flags.rate))
    if sys.stdout.isatty():
        table = Table("figure", "value", box=None)
        for name, value in shown.items():
            table.add_row(name, f"{value:.2f}" if isinstance(value, float) else str(value))
        Console().print(table)
    else:
        print(json.dumps(shown))
    sys.exit(bool(shown["failed"] or shown["wrong answers"]))


if __name__ == "__main__":
    main()
