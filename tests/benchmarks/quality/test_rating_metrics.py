import numpy as np
import pyarrow as pa
import pytest

from tests.benchmarks.quality import rating_metrics

RATINGS = np.array([5.0, 3.0, 4.0, 1.0])
PREDICTIONS = np.array([4.0, 3.5, 3.0, 2.0])


def test_values_of_all_rows_and_of_slices():
    slices = {"two": np.array([True, False, True, False]), "none": np.zeros(4, bool)}
    measured = rating_metrics.by_slice(RATINGS, PREDICTIONS, slices)
    # Errors 1, 0.5, 1, 1. Of the 4 pairs of a high and a low rating, 3.0 lies below 3.5 in one; that one
    # goes with the 3 stars.
    assert measured["overall"] == {
        "rows": 4,
        "rmse": pytest.approx((3.25 / 4) ** 0.5),
        "mae": pytest.approx(3.5 / 4),
        "auc": pytest.approx(3 / 4),
        "auc_without_3": 1.0,
    }
    assert measured["two"] == {"rows": 2, "rmse": 1.0, "mae": 1.0, "auc": None, "auc_without_3": None}
    assert measured["none"] == {"rows": 0, "rmse": None, "mae": None, "auc": None, "auc_without_3": None}


def test_a_row_is_of_the_cold_users_or_the_cold_movies():
    answers = pa.table(
        {"user_activity": ["cold", "light", "heavy"], "movie_activity": ["heavy", "cold", "cold"]}
    )
    found = {part: rows.tolist() for part, rows in rating_metrics.cold(answers).items()}
    assert found == {"cold users": [True, False, False], "cold movies": [False, True, True]}


def test_equal_predictions_count_half():
    measured = rating_metrics.by_slice(RATINGS, np.full(4, 3.0), {})
    assert measured["overall"]["auc"] == 0.5


@pytest.mark.parametrize("predictions", [PREDICTIONS[:3], np.array([4.0, np.nan, 3.0, 2.0])])
def test_what_answers_not_each_question_is_refused(predictions):
    with pytest.raises(ValueError, match="4 finite predictions are needed"):
        rating_metrics.by_slice(RATINGS, predictions, {})
