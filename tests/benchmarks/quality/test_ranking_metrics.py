import numpy as np
import pytest

from tests.benchmarks.quality import ranking_metrics


def measured(scores, held_out, rated, pauses):
    stars = held_out[np.isfinite(held_out)]
    gained, hits = ranking_metrics.gains(scores.ravel(), held_out.ravel(), rated.ravel())
    slices = ranking_metrics.slices(np.arange(len(stars)), stars, np.array(pauses))
    return ranking_metrics.by_slice(gained, hits, stars, slices)


def test_places_count_movies_not_yet_rated_and_equals_by_half():
    # First user: one of the two higher ones is rated, so place 2. Second user: two equals, so place 2 too,
    # and third user: eleven higher, so beyond the first ten.
    scores, held_out, rated = np.zeros((3, 14)), np.full((3, 14), np.nan), np.zeros((3, 14), bool)
    held_out[:, 0] = [2, 5, 4]
    scores[0, :3] = [1, 2, 3]
    rated[0, 2] = True
    scores[1, :3] = 1
    scores[2, 1:12] = 5
    found = measured(scores, held_out, rated, [3601, 3600, np.nan])
    assert found == {
        "overall": {
            "rows": 3,
            "ids": 3,
            "ndcg_10": pytest.approx(2 / np.log2(3) / 3),
            "recall_10": pytest.approx(2 / 3),
            "stars_of_hits": pytest.approx(3.5),
        },
        "liked": {
            "rows": 2,
            "ids": 2,
            "ndcg_10": pytest.approx(1 / np.log2(3) / 2),
            "recall_10": 0.5,
            "stars_of_hits": 5.0,
        },
        "after a pause": {
            "rows": 1,
            "ids": 1,
            "ndcg_10": pytest.approx(1 / np.log2(3)),
            "recall_10": 1.0,
            "stars_of_hits": 2.0,
        },
    }


def test_where_nothing_is_liked_or_found_there_is_no_figure():
    held_out = np.array([[3.0, *[np.nan] * 13]])
    found = measured(np.arange(14.0), held_out, np.zeros(14, bool), [60.0])
    assert found == {
        "overall": {"rows": 1, "ids": 1, "ndcg_10": 0.0, "recall_10": 0.0, "stars_of_hits": None},
        **{
            part: {"rows": 0, "ids": 0, "ndcg_10": None, "recall_10": None, "stars_of_hits": None}
            for part in ("liked", "after a pause")
        },
    }
