"""How high the movie held out stands in the order of the predictions."""

import numpy as np

from tests.benchmarks.quality.metrics import OVERALL, ROWS, checked

TOP = 10
NDCG, RECALL = f"ndcg_{TOP}", f"recall_{TOP}"


def metrics(predictions: np.ndarray, held_out: np.ndarray, rated: np.ndarray) -> dict[str, dict[str, float]]:
    """Return NDCG and recall among the first `TOP` of the movies that a user has not rated before.

    With one relevant movie at place r, NDCG is 1 / log2(1 + r) and recall is 1, both 0 beyond the first `TOP`
    (Järvelin and Kekäläinen 2002, https://doi.org/10.1145/582415.582418). Among equal predictions it stands
    in the middle.

    Args:
      predictions: float[n], those of a user together.
      held_out: bool[n], one of each user.
      rated: bool[n].

    Raises:
      ValueError: there is not one finite prediction for each question.
    """
    users = int(held_out.sum())
    scores, targets, seen = (
        values.reshape(users, -1) for values in (checked(predictions, len(held_out)), held_out, rated)
    )
    target = scores[targets][:, None]
    others = ~targets & ~seen
    places = 1 + ((scores > target) & others).sum(axis=1) + ((scores == target) & others).sum(axis=1) / 2
    hits = places <= TOP
    return {
        OVERALL: {
            ROWS: users,
            NDCG: float(np.mean(hits / np.log2(1 + places))),
            RECALL: float(np.mean(hits)),
        }
    }
