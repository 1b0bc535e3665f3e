"""What models are held to: which rows they get, and how their answers are judged."""

import dataclasses
import hashlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Protocol

import pyarrow.parquet as pq

from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from schema import features
from tests.benchmarks.quality import learning_curve, leave_last_out, metrics, order, splits
from tests.benchmarks.quality.model import Answers

Metrics = dict[str, dict[str, float | int | None]]


class EvaluationProtocol(Protocol):
    """One way to test."""

    split: SplitMethod  # by which the pipeline splits its dataset
    ranking: ClassVar[bool]  # as in `Task`
    judged_by: ClassVar[tuple[ModuleType, ...]]  # what `judge` calls, beside `schema.features`

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows; return what tells them from others.

        Raises:
          ValueError: the ratings are not fit for it.
        """

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset that the pipeline gets."""

    def judge(self, rows: Path, answers: Answers) -> Metrics:
        """Return the metrics, by slice.

        Raises:
          ValueError: the answers are none.
        """


@dataclasses.dataclass(frozen=True)
class Ratings:
    """How near predicted ratings are, on the test split of the pipeline."""

    split: SplitMethod
    ranking: ClassVar = False
    judged_by: ClassVar = (metrics,)

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `splits.make`."""
        return splits.make(dataset, ExampleGenConfig(split=self.split), rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset itself."""
        return dataset

    def judge(self, rows: Path, answers: Answers) -> Metrics:
        """Return errors and AUC, as `metrics.by_slice`."""
        wanted = pq.read_table(rows / splits.ANSWERS)
        return metrics.by_slice(
            wanted[features.RATING.name].to_numpy(),
            answers.predictions,
            metrics.cold(wanted),
            answers.without_moment,
        )


@dataclasses.dataclass(frozen=True)
class Share(Ratings):
    """The same on the random split, after training on a share of the ratings."""

    split: SplitMethod = SplitMethod.RANDOM
    percent: int = 100

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `learning_curve.make`."""
        return learning_curve.make(dataset, ExampleGenConfig(split=self.split), self.percent / 100, rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset of the rows that are kept."""
        return rows / learning_curve.DATASET


@dataclasses.dataclass(frozen=True)
class Order:
    """How high each user's last movie stands, after training on what was before."""

    split: SplitMethod = SplitMethod.RANDOM
    ranking: ClassVar = True
    judged_by: ClassVar = (order, metrics)

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `leave_last_out.make`."""
        return leave_last_out.make(dataset, ExampleGenConfig(split=self.split), rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset without the last ratings."""
        return rows / leave_last_out.DATASET

    def judge(self, rows: Path, answers: Answers) -> Metrics:
        """Return NDCG and recall, as `order.metrics`."""
        wanted = pq.read_table(rows / splits.ANSWERS)
        held_out, rated = (
            wanted[name].to_numpy() for name in (leave_last_out.HELD_OUT, leave_last_out.RATED)
        )
        return order.metrics(answers.predictions, held_out, rated)


def judge_identity(protocol: EvaluationProtocol) -> str:
    """Return a SHA-256, as hex, of the code by which answers are judged; after a change they are others."""
    digest = hashlib.sha256(inspect.getsource(protocol.judge).encode())
    for module in (*protocol.judged_by, features):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


LAST, SIZE = "last", "size"
SHARES = {f"size-{percent}": percent for percent in (10, 20, 40, 60, 80)}
PROTOCOLS: dict[str, EvaluationProtocol] = {
    **{method.value: Ratings(method) for method in SplitMethod},
    LAST: Order(),
    **{name: Share(percent=percent) for name, percent in SHARES.items()},
}

# What can be asked for, and the protocols it stands for; the learning curve ends with the whole random split.
SPLITS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in PROTOCOLS if name not in SHARES},
    SIZE: (*SHARES, SplitMethod.RANDOM.value),
}
