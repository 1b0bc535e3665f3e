"""How good the order of movies is: how high the one stands that is held out, and how it was liked."""

import numpy as np

from tests.benchmarks.quality.rating_metrics import HIGH, OVERALL, ROWS, checked

TOP = 10
NDCG, RECALL = f"ndcg_{TOP}", f"recall_{TOP}"
NDCG_LIKED, STARS_OF_HITS = f"ndcg_{TOP}_liked", "stars_of_hits"


def metrics(
    predictions: np.ndarray, held_out: np.ndarray, rated: np.ndarray
) -> dict[str, dict[str, float | None]]:
    """Return NDCG and recall among the first `TOP` of the movies that a user has not rated before.

    With one relevant movie at place r, NDCG is 1 / log2(1 + r) and recall is 1, both 0 beyond the first `TOP`
    (Järvelin and Kekäläinen 2002, https://doi.org/10.1145/582415.582418). Among equal predictions it stands
    in the middle. `NDCG_LIKED` is of the users who gave the movie held out `HIGH` stars or more,
    `STARS_OF_HITS` the mean rating of those among the first; None where there are none.

    Args:
      predictions: float[n], those of a user together.
      held_out: float[n], in stars; one of each user, NaN for all others.
      rated: bool[n].

    Raises:
      ValueError: there is not one finite prediction for each question.
    """
    targets = np.isfinite(held_out)
    users = int(targets.sum())
    stars = held_out[targets]
    scores, targets, seen = (
        values.reshape(users, -1) for values in (checked(predictions, len(held_out)), targets, rated)
    )
    target = scores[targets][:, None]
    others = ~targets & ~seen
    places = 1 + ((scores > target) & others).sum(axis=1) + ((scores == target) & others).sum(axis=1) / 2
    hits = places <= TOP
    gains = hits / np.log2(1 + places)
    return {
        OVERALL: {
            ROWS: users,
            NDCG: _mean(gains),
            RECALL: _mean(hits),
            NDCG_LIKED: _mean(gains[stars >= HIGH]),
            STARS_OF_HITS: _mean(stars[hits]),
        }
    }


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
