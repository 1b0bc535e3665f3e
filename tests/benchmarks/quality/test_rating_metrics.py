import numpy as np
import pyarrow as pa
import pytest

from tests.benchmarks.quality import rating_metrics
from tests.benchmarks.quality.slices import Slice

RATINGS = np.array([5.0, 3.0, 4.0, 1.0])
PREDICTIONS = np.array([4.0, 3.5, 3.0, 2.0])
IDS = np.array([1, 1, 1, 2])
ALL = {"overall": Slice(np.ones(4, bool), IDS)}


def test_values_of_all_rows_and_of_slices():
    slices = {
        "two": Slice(np.array([True, False, True, False]), IDS),
        "none": Slice(np.zeros(4, bool), IDS),
    }
    measured = rating_metrics.by_slice(RATINGS, PREDICTIONS, ALL | slices)
    # Errors 1, 0.5, 1, 1. Of the 4 pairs of a high and a low rating, 3.0 lies below 3.5 in one; that one
    # goes with the 3 stars.
    assert measured["overall"] == {
        "rows": 4,
        "ids": 2,
        "rmse": pytest.approx((3.25 / 4) ** 0.5),
        "mae": pytest.approx(3.5 / 4),
        "auc": pytest.approx(3 / 4),
        "auc_without_3": 1.0,
    }
    undefined = {"auc": None, "auc_without_3": None}
    assert measured["two"] == {"rows": 2, "ids": 1, "rmse": 1.0, "mae": 1.0, **undefined}
    assert measured["none"] == {"rows": 0, "ids": 0, "rmse": None, "mae": None, **undefined}


def test_a_row_is_of_the_cold_users_or_the_cold_movies():
    answers = pa.table(
        {"user_activity": ["cold", "light", "heavy"], "movie_activity": ["heavy", "cold", "cold"]}
    )
    questions = pa.table({"uid": [7, 8, 9], "mid": [5, 6, 6]})
    slices = rating_metrics.slices(questions, answers)
    assert {name: part.rows.tolist() for name, part in slices.items()} == {
        "overall": [True, True, True],
        "cold users": [True, False, False],
        "cold movies": [False, True, True],
    }
    assert [part.counts()["ids"] for part in slices.values()] == [3, 1, 1]


def test_equal_predictions_count_half():
    measured = rating_metrics.by_slice(RATINGS, np.full(4, 3.0), ALL)
    assert measured["overall"]["auc"] == 0.5


@pytest.mark.parametrize("predictions", [PREDICTIONS[:3], np.array([4.0, np.nan, 3.0, 2.0])])
def test_what_answers_not_each_question_is_refused(predictions):
    with pytest.raises(ValueError, match="4 finite predictions are needed"):
        rating_metrics.by_slice(RATINGS, predictions, ALL)
