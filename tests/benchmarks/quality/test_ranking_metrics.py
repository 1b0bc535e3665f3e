import numpy as np
import pytest

from tests.benchmarks.quality import ranking_metrics


def test_places_count_movies_not_yet_rated_and_equals_by_half():
    # First user: one of the two higher ones is rated, so place 2. Second user: two equals, so place 2 too,
    # and third user: eleven higher, so beyond the first ten.
    scores, held_out, rated = np.zeros((3, 14)), np.full((3, 14), np.nan), np.zeros((3, 14), bool)
    held_out[:, 0] = [2, 5, 4]
    scores[0, :3] = [1, 2, 3]
    rated[0, 2] = True
    scores[1, :3] = 1
    scores[2, 1:12] = 5
    measured = ranking_metrics.metrics(scores.ravel(), held_out.ravel(), rated.ravel())["overall"]
    assert measured == {
        "rows": 3,
        "ndcg_10": pytest.approx(2 / np.log2(3) / 3),
        "recall_10": pytest.approx(2 / 3),
        "ndcg_10_liked": pytest.approx(1 / np.log2(3) / 2),
        "stars_of_hits": pytest.approx(3.5),
    }


def test_where_nothing_is_liked_or_found_there_is_no_figure():
    held_out = np.array([3.0, *[np.nan] * 13])
    measured = ranking_metrics.metrics(np.arange(14.0), held_out, np.zeros(14, bool))["overall"]
    assert measured == {
        "rows": 1,
        "ndcg_10": 0.0,
        "recall_10": 0.0,
        "ndcg_10_liked": None,
        "stars_of_hits": None,
    }
