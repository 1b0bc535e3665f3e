import collections
import datetime

import pytest

from components.data_gate.config import Kind, Severity
from components.data_gate.report import Measurement
from components.data_gate.report import Report as DataReport
from components.deepfm.config import DeepFMConfig
from components.evaluator.config import EvaluatorConfig
from components.evaluator.results import Comparison, Evaluation, SliceMetrics
from components.model_report.config import DatasetFacts
from components.model_report.findings import Findings
from components.ratings_example_gen.config import ExampleGenConfig
from components.ratings_example_gen.counts import RowCounts
from components.serving_validator.report import Report
from components.trainer.config import TrainConfig
from components.trainer.history import EPOCH, History, Step
from components.trainer.start import Entries, Start
from schema import features


def metrics(feature="", value="", rows=100_243, rmse=0.857, baseline_rmse=0.8591, judged=True):
    return SliceMetrics(
        feature=feature,
        value=value,
        rows=rows,
        rmse=rmse,
        mae=0.6707,
        calibration=1.0076,
        mean_rating=3.5749,
        mean_prediction=3.602,
        baseline_rmse=baseline_rmse,
        judged=judged,
    )


@pytest.fixture
def findings():
    """A blessed and pushed run on real data, compared with version 1."""
    return Findings(
        dataset=DatasetFacts(name="ml-1m", generated=False, noise_floor_rmse=None),
        example_gen=ExampleGenConfig(),
        days=None,
        model=DeepFMConfig(),
        train=TrainConfig(),
        evaluator=EvaluatorConfig(),
        counts={
            "users.dat": RowCounts(6040, 6040),
            "movies.dat": RowCounts(3883, 3880, collections.Counter(wrong_number_of_fields=3)),
            "ratings.dat": RowCounts(
                1_000_209,
                999_009,
                collections.Counter(bad_rating=200, repeated_uid_mid=1000),
                collections.Counter(train=848_518, valid=50_248, test=100_243),
            ),
        },
        data=DataReport(
            splits=["train", "valid", "test"],
            baseline="compared with version 1",
            days=["2000-12-30", "2000-12-31"],
            measurements=[
                Measurement(
                    kind=Kind.DRIFT,
                    feature=features.GENRES.name,
                    where="train",
                    what="L-infinity distance from version 1",
                    figure=0.0123,
                    high=0.1,
                    severity=Severity.STOP,
                ),
                Measurement(
                    kind=Kind.QUIET,
                    feature="",
                    where="2000-12-31",
                    what="number of ratings",
                    figure=0.0,
                    low=1.0,
                    severity=Severity.WARN,
                ),
            ],
            notes=["newest rows: 12 in test, 1,000 needed"],
        ),
        start=Start(
            version=1,
            entries={
                features.UID.name: Entries(kept=6030, new=10, gone=2),
                features.MID.name: Entries(kept=3700, new=6, gone=0),
            },
        ),
        history=History(
            unit=EPOCH,
            steps=(
                Step(number=1, train_rmse=0.93, validation_rmse=0.9, validation_mae=0.7),
                Step(number=2, train_rmse=0.87, validation_rmse=0.8612, validation_mae=0.68),
                Step(number=3, train_rmse=0.84, validation_rmse=0.865, validation_mae=0.69),
            ),
        ),
        evaluation=Evaluation(
            overall=metrics(),
            slices=(
                metrics(features.GENDER.name, "F", 24_403, 0.8814, 0.8861),
                metrics(features.GENDER.name, "M", 75_840, 0.8489, 0.8502),
                metrics(features.AGE.name, 25, 39_425, 0.8576, 0.8593),
                metrics(features.AGE.name, 1, 2_711, 0.9236, 0.9235),
            ),
            blessed=True,
            reasons=(),
            comparison=Comparison(version=1, reason=""),
        ),
        serving=Report(
            [], {"largest_difference": 2.4e-07, "predict_ms": 0.69, "rank_ms": 9.44, "bytes": 8_171_043}
        ),
        pushed_version=2,
        written=datetime.date(2026, 11, 24),
        software={"Keras": "3.15.1"},
    )
