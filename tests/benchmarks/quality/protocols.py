"""What models are held to: which rows they get, and how their answers are judged."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from schema import features
from tests.benchmarks.quality import learning_curve, leave_last_out, ranking_metrics, rating_metrics, splits
from tests.benchmarks.quality.results import Judgement
from tests.benchmarks.quality.slices import Slice


class EvaluationProtocol(Protocol):
    """One way to test."""

    split: SplitMethod  # by which the pipeline splits its dataset
    ranking: ClassVar[bool]  # as in `Task`

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows; return what tells them from others.

        Raises:
          ValueError: the ratings are not fit for it.
        """

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset that the pipeline gets."""

    def slices(self, rows: Path) -> dict[str, Slice]:
        """Return what is judged together, by name."""

    def judge(self, rows: Path, predictions: np.ndarray) -> Judgement:
        """Return how good predictions are.

        Args:
          rows: as written.
          predictions: as `model.Answers` has them of one moment.

        Raises:
          ValueError: they are no answers to the questions.
        """

    def error(self, loss: np.ndarray) -> np.ndarray:
        """Return the error by which models are compared, by their mean loss."""


@dataclasses.dataclass(frozen=True)
class Ratings:
    """How near predicted ratings are, on the test split of the pipeline."""

    split: SplitMethod
    ranking: ClassVar = False

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `splits.make`."""
        return splits.make(dataset, ExampleGenConfig(split=self.split), rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset itself."""
        return dataset

    def slices(self, rows: Path) -> dict[str, Slice]:
        """Return them as `rating_metrics.slices`."""
        return self._slices(rows, pq.read_table(rows / splits.ANSWERS))

    def _slices(self, rows: Path, wanted: pa.Table) -> dict[str, Slice]:
        return rating_metrics.slices(pq.read_table(rows / splits.QUESTIONS), wanted)

    def judge(self, rows: Path, predictions: np.ndarray) -> Judgement:
        """Return errors and AUC, as `rating_metrics.by_slice`; a loss is a squared error, in square stars."""
        wanted = pq.read_table(rows / splits.ANSWERS)
        ratings = wanted[features.RATING.name].to_numpy()
        slices = self._slices(rows, wanted)
        return Judgement(rating_metrics.by_slice(ratings, predictions, slices), (predictions - ratings) ** 2)

    def error(self, loss: np.ndarray) -> np.ndarray:
        """Return the root: RMSE, in stars."""
        return np.sqrt(loss)


@dataclasses.dataclass(frozen=True)
class Share(Ratings):
    """The same on the random split, after training on a share of the ratings."""

    percent: int

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `learning_curve.make`."""
        return learning_curve.make(dataset, ExampleGenConfig(split=self.split), self.percent / 100, rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset of the rows that are kept."""
        return rows / learning_curve.DATASET


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How high each user's last movie stands, after training on what was before."""

    split: SplitMethod
    ranking: ClassVar = True

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `leave_last_out.make`."""
        return leave_last_out.make(dataset, ExampleGenConfig(split=self.split), rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset without the last ratings."""
        return rows / leave_last_out.DATASET

    def slices(self, rows: Path) -> dict[str, Slice]:
        """Return them as `ranking_metrics.slices`."""
        return self._slices(rows, pq.read_table(rows / splits.ANSWERS))

    def judge(self, rows: Path, predictions: np.ndarray) -> Judgement:
        """Return NDCG and recall, as `ranking_metrics.by_slice`; a loss is what a user's NDCG lacks of 1."""
        wanted = pq.read_table(rows / splits.ANSWERS)
        held_out, rated = (wanted[name].to_numpy() for name in (features.RATING.name, leave_last_out.RATED))
        gained, hits = ranking_metrics.gains(predictions, held_out, rated)
        stars = held_out[np.isfinite(held_out)]
        return Judgement(
            ranking_metrics.by_slice(gained, hits, stars, self._slices(rows, wanted)), 1 - gained
        )

    def error(self, loss: np.ndarray) -> np.ndarray:
        """Return it as it is: what NDCG lacks of 1."""
        return loss

    def _slices(self, rows: Path, wanted: pa.Table) -> dict[str, Slice]:
        targets = pc.is_valid(wanted[features.RATING.name])
        users = pq.read_table(rows / splits.QUESTIONS, columns=[features.UID.name]).filter(targets)
        held_out = wanted.filter(targets)
        return ranking_metrics.slices(
            users[features.UID.name].to_numpy(),
            held_out[features.RATING.name].to_numpy(),
            held_out[leave_last_out.PAUSE].to_numpy(),
        )


LAST, SIZE = "last", "size"
SHARES = {f"size-{percent}": percent for percent in (10, 20, 40, 60, 80)}
PROTOCOLS: dict[str, EvaluationProtocol] = {
    **{method.value: Ratings(method) for method in SplitMethod},
    LAST: Ranking(SplitMethod.RANDOM),
    **{name: Share(SplitMethod.RANDOM, percent) for name, percent in SHARES.items()},
}

# What can be asked for, and the protocols it stands for; the learning curve ends with the whole random split.
SPLITS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in PROTOCOLS if name not in SHARES},
    SIZE: (*SHARES, SplitMethod.RANDOM.value),
}
