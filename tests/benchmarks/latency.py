"""Set the latencies of served versions beside each other: `predict` of one pair, `rank` of the catalogue.

    python -m tests.benchmarks.latency MODEL [MODEL ...] [--rounds N]

Each MODEL is the folder of a version. All are loaded into this process as the server loads them, and take
turns: each question goes to every version before the next one is asked, each time to another one first. So
what else the machine does falls on all alike. Users and movies are drawn from those of the first version; all
are asked about the same, at the end of their training data. Milliseconds are the median of all calls. A
round gives one ratio to the first version, of the medians of its calls; the table has the median of the
rounds, and the lowest and the highest. Requests and the network are left out: `make bench-serving` has them.
"""

import argparse
import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from serving import errors
from serving.catalogue import FOLDER, Catalogue
from serving.client.logic import PREDICT_SIGNATURE, RANK_SIGNATURE
from serving.quiet_imports import quiet_imports
from tests.benchmarks.machine import machine

with quiet_imports():
    from serving.saved_model import SessionModel

PREDICTS, RANKS = 100, 10  # of a round
TABLE_WIDTH = 100  # at least, where the output is no terminal


def measure(
    models: Sequence[tuple[SessionModel, Catalogue]], questions: Sequence[tuple[int, np.ndarray]], kind: str
) -> np.ndarray:
    """Ask every model each question in turn.

    Args:
      models: with their catalogues.
      questions: a user and the movies each, int64[m].
      kind: of the signatures `predict` and `rank`.

    Returns:
      Milliseconds of each call, float[questions, models].
    """
    milliseconds = np.empty((len(questions), len(models)))
    for turn, (uid, mids) in enumerate(questions):
        for place in range(len(models)):
            at = (turn + place) % len(models)
            model, known = models[at]
            inputs = (
                known.predict_inputs(np.full(len(mids), uid), mids)
                if kind == PREDICT_SIGNATURE
                else known.rank_inputs(uid, mids)
            )
            start = time.perf_counter()
            model.run(kind, inputs)
            milliseconds[turn, at] = 1000 * (time.perf_counter() - start)
    return milliseconds


def cells(milliseconds: np.ndarray) -> Iterator[tuple[str, str]]:
    """Yield the text of median and ratio of each model.

    Args:
      milliseconds: float[rounds, calls, models].
    """
    of_rounds = np.median(milliseconds, axis=1)
    ratios = of_rounds / of_rounds[:, :1]
    for median, ratio in zip(np.median(milliseconds, axis=(0, 1)), ratios.T, strict=True):
        yield f"{median:.2f}", f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"


def run(folders: Sequence[Path], rounds: int) -> Table:
    """Measure, and set the figures out."""
    random = np.random.default_rng(0)
    with contextlib.ExitStack() as stack:
        models = [
            (stack.enter_context(SessionModel(folder)), Catalogue.load(folder / FOLDER)) for folder in folders
        ]
        uids, mids = models[0][1].uids, models[0][1].mids
        calls: dict[str, list[np.ndarray]] = {PREDICT_SIGNATURE: [], RANK_SIGNATURE: []}
        for _ in range(1 + rounds):
            pairs = zip(random.choice(uids, PREDICTS), random.choice(mids, (PREDICTS, 1)), strict=True)
            calls[PREDICT_SIGNATURE].append(measure(models, list(pairs), PREDICT_SIGNATURE))
            users = [(uid, mids) for uid in random.choice(uids, RANKS)]
            calls[RANK_SIGNATURE].append(measure(models, users, RANK_SIGNATURE))
    table = Table("version", "predict 1, ms", "to the first", f"rank {len(mids):,}, ms", "to the first")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    # The first round is left out: the first call of a signature optimizes its graph.
    told = [cells(np.stack(of_kind[1:])) for of_kind in calls.values()]
    for folder, predict, rank in zip(folders, *told, strict=True):
        table.add_row(str(folder), *predict, *rank)
    return table


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path, nargs="+", help="folders of versions that are served")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {arguments.rounds}")
    console = Console(highlight=False)
    console.width = max(console.width, TABLE_WIDTH)
    try:
        with console.status("measuring"):
            table = run(arguments.models, arguments.rounds)
    except (errors.ServingError, OSError) as error:
        sys.exit(str(error))
    console.print(table)
    console.print(f"{arguments.rounds} rounds; {machine()}")


if __name__ == "__main__":
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it says that the Session loader is deprecated
    main()
