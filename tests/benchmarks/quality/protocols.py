"""What models are held to: which rows they get, and how their answers are judged."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pyarrow.parquet as pq

from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from schema import features
from tests.benchmarks.quality import learning_curve, leave_last_out, ranking_metrics, rating_metrics, splits
from tests.benchmarks.quality.model import NO_MOMENT, SECOND
from tests.benchmarks.quality.results import Judgement

RMSE_NO_MOMENT = f"{rating_metrics.RMSE}_{NO_MOMENT}"
NDCG_NO_MOMENT = f"{ranking_metrics.NDCG}_{NO_MOMENT}"


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

    def judge(self, rows: Path, predictions: Mapping[str, np.ndarray]) -> Judgement:
        """Return how good predictions are.

        Args:
          rows: as written.
          predictions: as `model.Answers` has them.

        Raises:
          ValueError: they are no answers to the questions.
        """


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

    def judge(self, rows: Path, predictions: Mapping[str, np.ndarray]) -> Judgement:
        """Return errors and AUC, as `rating_metrics.by_slice`, and RMSE of those told no moment."""
        wanted = pq.read_table(rows / splits.ANSWERS)
        ratings = wanted[features.RATING.name].to_numpy()
        judged = rating_metrics.by_slice(ratings, predictions[SECOND], rating_metrics.cold(wanted))
        if NO_MOMENT in predictions:
            untold = rating_metrics.by_slice(ratings, predictions[NO_MOMENT], {})[rating_metrics.OVERALL]
            judged[rating_metrics.OVERALL][RMSE_NO_MOMENT] = untold[rating_metrics.RMSE]
        return Judgement(judged, (predictions[SECOND] - ratings) ** 2)


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
class Ranking:
    """How high each user's last movie stands, after training on what was before."""

    split: SplitMethod = SplitMethod.RANDOM
    ranking: ClassVar = True

    def make(self, dataset: Path, rows: Path) -> str:
        """Write the rows, as `leave_last_out.make`."""
        return leave_last_out.make(dataset, ExampleGenConfig(split=self.split), rows)

    def data(self, dataset: Path, rows: Path) -> Path:
        """Return the dataset without the last ratings."""
        return rows / leave_last_out.DATASET

    def judge(self, rows: Path, predictions: Mapping[str, np.ndarray]) -> Judgement:
        """Return NDCG and recall, as `ranking_metrics.metrics`, and NDCG of those told no moment."""
        wanted = pq.read_table(rows / splits.ANSWERS)
        held_out, rated = (wanted[name].to_numpy() for name in (features.RATING.name, leave_last_out.RATED))
        judged = ranking_metrics.metrics(predictions[SECOND], held_out, rated)
        if NO_MOMENT in predictions:
            untold = ranking_metrics.metrics(predictions[NO_MOMENT], held_out, rated)[ranking_metrics.OVERALL]
            judged[ranking_metrics.OVERALL][NDCG_NO_MOMENT] = untold[ranking_metrics.NDCG]
        return Judgement(judged)


LAST, SIZE = "last", "size"
SHARES = {f"size-{percent}": percent for percent in (10, 20, 40, 60, 80)}
PROTOCOLS: dict[str, EvaluationProtocol] = {
    **{method.value: Ratings(method) for method in SplitMethod},
    LAST: Ranking(),
    **{name: Share(percent=percent) for name, percent in SHARES.items()},
}

# What can be asked for, and the protocols it stands for; the learning curve ends with the whole random split.
SPLITS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in PROTOCOLS if name not in SHARES},
    SIZE: (*SHARES, SplitMethod.RANDOM.value),
}
