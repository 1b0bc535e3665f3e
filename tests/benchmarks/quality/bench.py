"""Measure how well models predict and rank: the project's presets beside those of other packages.

    make bench-quality DATA=ml-1m.zip [MODELS="svd ease"] [SPLITS="random time last size"] [SEEDS="0 1"]

What was measured is kept, in `.cache/quality/<dataset>`, and not measured again while its rows, code and
configuration are the same: a bench that was stopped goes on. README.md says what is measured and how.
"""

import argparse
import functools
import itertools
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # as in a run

import filelock
import pyarrow.parquet as pq
from rich.console import Console

from pipeline.dataset.errors import DatasetError
from pipeline.dataset.resolve import Dataset, resolve
from pipeline.job import ALREADY_RUNNING, INTERRUPTED
from serving.quiet_imports import quiet_imports
from tests.benchmarks.machine import machine
from tests.benchmarks.quality import lead, report, results, splits
from tests.benchmarks.quality.lead import Leads
from tests.benchmarks.quality.model import Model, ModelFailedError, Task
from tests.benchmarks.quality.protocols import LAST, PROTOCOLS, SPLITS
from tests.benchmarks.quality.results import Measurement, Result

with quiet_imports():
    from tests.benchmarks.quality.models import MODELS, RANKERS

DEFAULT_SPLITS = ["random", "time", "last"]  # the learning curve only if asked for
TABLE_WIDTH = 130  # at least, where the output is no terminal


class Bench:
    """Measures models on the splits of one dataset.

    Args:
      dataset: flat.
      folder: keeps rows, results and pages.
      models: by name.
    """

    def __init__(self, dataset: Dataset, folder: Path, models: dict[str, Model]) -> None:
        self.folder = folder
        self._dataset = dataset
        self._models = models
        self._digests: dict[str, str] = {}
        self._judged: dict[str, Result] = {}  # by measurement
        self._identities = {name: model.identity for name, model in models.items()}

    def prepare(self, split: str) -> None:
        """Write the rows of one of `PROTOCOLS`.

        Raises:
          DatasetError: the ratings cannot be split so.
        """
        try:
            self._digests[split] = PROTOCOLS[split].make(self._dataset.folder, self._rows(split))
        except ValueError as error:
            raise DatasetError(f"{self._dataset.folder}: no {split} split: {error}.") from error

    def result(self, name: str, split: str, seed: int) -> Result:
        """Return how good one model is on one split with one seed, measured now if it was not yet.

        Raises:
          ModelFailedError: the model has no result.
        """
        identity = self._identity(name, split)
        if found := results.find(self._results, split, name, seed, identity):
            return self._judge(found)
        if self._models[name].identity != self._identities[name]:
            raise ModelFailedError("its code was edited since the bench began; start it again")
        work = self._work(f"{split}-{name}-{seed}")
        rows, protocol = self._rows(split), PROTOCOLS[split]
        answers = self._models[name].answer(
            Task(
                rows=rows,
                split=protocol.split,
                seed=seed,
                work=work,
                data=protocol.data(self._dataset.folder, rows),
                ranking=protocol.ranking,
            )
        )
        fitted = (splits.TRAIN, splits.VALID) if self._models[name].fits_validation else (splits.TRAIN,)
        measured = Measurement(
            model=name,
            split=split,
            seed=seed,
            identity=identity,
            cost=vars(answers.cost),
            fitted_on=sum(pq.read_metadata(rows / part).num_rows for part in fitted),
            machine=machine(),
            largest_difference=answers.largest_difference,
            predictions=answers.predictions,
        )
        try:
            result = self._judge(measured)
        except ValueError as error:
            raise ModelFailedError(f"its answers are none: {error}") from error
        measured.write(self._results)
        shutil.rmtree(work)
        return result

    def measured(self) -> list[Result]:
        """Return the results on what was prepared, of whatever call, that hold for today's code."""
        return [
            self._judge(found)
            for found in results.every(self._results)
            if found.model in self._models
            and found.split in self._digests
            and found.identity == self._identity(found.model, found.split)
        ]

    def leads(self, measured: Iterable[Result], wanted: Collection[str]) -> dict[str, Leads]:
        """Return how far the best model of each of these splits is ahead, as `lead.of_split`."""
        return {
            split: lead.of_split(
                PROTOCOLS[split].slices(self._rows(split)), models, error=PROTOCOLS[split].error
            )
            for split, models in report.by_split(measured).items()
            if split in wanted
        }

    def _work(self, measurement: str) -> Path:
        """Return a new empty folder; those of the same measurement, which was stopped before, are removed.

        What a killed bench has left running may go on to write into its own.
        """
        folder = self.folder / "work"
        folder.mkdir(exist_ok=True)
        for stopped in folder.glob(f"{measurement}-*"):
            shutil.rmtree(stopped, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{measurement}-", dir=folder))

    def _judge(self, measured: Measurement) -> Result:
        name = f"{measured.split}-{measured.model}-{measured.seed}"
        if name not in self._judged:
            judge = functools.partial(PROTOCOLS[measured.split].judge, self._rows(measured.split))
            self._judged[name] = Result.of(measured, judge)
        return self._judged[name]

    @property
    def _results(self) -> Path:
        return self.folder / "results"

    def _rows(self, split: str) -> Path:
        return self.folder / "rows" / split

    def _identity(self, name: str, split: str) -> str:
        return f"{self._digests[split]} {self._identities[name]}"


def seed_of_training(text: str) -> int:
    """Return a seed of training.

    Raises:
      ArgumentTypeError: it is no whole number from 0 on.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, got {text!r}")
    return int(text)


def main(models: dict[str, Model] = MODELS, argv: list[str] | None = None) -> int:
    """Measure, and print a table for each split; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder or zip in MovieLens 1M's format, no folder of days")
    parser.add_argument("--models", nargs="+", choices=models, default=list(models), metavar="MODEL",
                        help=f"of {', '.join(models)}; all if not given")  # fmt: skip
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=DEFAULT_SPLITS, metavar="SPLIT",
                        help=f"of {', '.join(SPLITS)}; {', '.join(DEFAULT_SPLITS)} if not given")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=seed_of_training, default=[0, 1, 2], metavar="SEED",
                        help="of training, from 0")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=Path(".cache", "quality"), help="keeps everything")
    arguments = parser.parse_args(argv)
    console = Console(emoji=False, highlight=False)
    protocols = list(dict.fromkeys(protocol for split in arguments.splits for protocol in SPLITS[split]))
    console.width = max(console.width, TABLE_WIDTH)
    pairs = [
        (split, name)
        for split, name in itertools.product(protocols, arguments.models)
        if split == LAST or name not in RANKERS
    ]
    if not pairs:
        parser.error(f"{', '.join(arguments.models)} rate no movies, so that the split is {LAST} alone")

    def say(message: str) -> None:
        console.print(message, markup=False, soft_wrap=True)

    try:
        dataset = resolve(
            arguments.data,
            cache_dir=Path(".cache", "data"),
            work_dir=arguments.folder / ".unpacked",
            notify=say,
        )
        if dataset.last_day:
            raise DatasetError(f"{dataset.folder} is a folder of days; the bench takes flat ratings.")
        bench = Bench(dataset, arguments.folder / dataset.name, models)
        bench.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(bench.folder / ".lock", timeout=0):
            for split in protocols:
                bench.prepare(split)
            failed = 0
            for seed, (split, name) in itertools.product(arguments.seeds, pairs):
                what = f"{name}, {split} split, seed {seed}"
                try:
                    with console.status(what):
                        found = bench.result(name, split, seed)
                    say(f"{what}: {report.first_figure(found)}")
                except ModelFailedError as error:
                    failed += 1
                    say(f"{what}: {error}")
            measured = bench.measured()
            kind = "generated" if dataset.generated else "real"
            whole = report.Report(f"{dataset.name} ({kind} data)", arguments.data, measured)
            pages = whole.pages(arguments.splits, bench.leads(measured, arguments.splits))
            for name in {*arguments.splits, report.SERVED} - {page.name for page in pages}:
                report.remove(name, bench.folder)  # no result on it holds any more
            for page in pages:
                console.print(page.sheet.drawn())
                say(str(page.write(bench.folder)))
    except filelock.Timeout:
        print(f"another bench works in {bench.folder}; wait for it to end", file=sys.stderr)
        return ALREADY_RUNNING
    except (DatasetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it says that the Session loader is deprecated
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept", file=sys.stderr)
        sys.exit(INTERRUPTED)
