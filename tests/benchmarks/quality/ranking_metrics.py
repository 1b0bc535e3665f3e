"""How good the order of movies is: how high the one stands that is held out, and how it was liked."""

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.quality.rating_metrics import HIGH, checked
from tests.benchmarks.quality.slices import OVERALL, Slice

TOP = 10
NDCG, RECALL, STARS_OF_HITS = f"ndcg_{TOP}", f"recall_{TOP}", "stars_of_hits"

LIKED, RETURNED = "liked", "after a pause"
PAUSE = 3600  # seconds; who rates nothing for longer has left


def slices(users: np.ndarray, stars: np.ndarray, pauses: np.ndarray) -> dict[str, Slice]:
    """Return the slices of the users asked about.

    They are all; those who gave the movie held out `HIGH` stars or more; and those who had rated nothing for
    more than `PAUSE` before it.

    Args:
      users: int64[u].
      stars: that they gave the movie held out, float[u].
      pauses: seconds since the rating before it, float[u]; NaN where there is none.
    """
    parts = {OVERALL: np.ones(len(users), bool), LIKED: stars >= HIGH, RETURNED: pauses > PAUSE}
    return {name: Slice(rows, users) for name, rows in parts.items()}


def gains(predictions: np.ndarray, held_out: np.ndarray, rated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's NDCG among the first `TOP` of the movies not rated before, and whether it is a hit.

    With one relevant movie at place r, NDCG is 1 / log2(1 + r), and 0 beyond the first `TOP` (Järvelin and
    Kekäläinen 2002, https://doi.org/10.1145/582415.582418). Among equal predictions it stands in the middle.

    Args:
      predictions: float[n], those of a user together.
      held_out: float[n], in stars; one of each user, NaN for all others.
      rated: bool[n].

    Returns:
      float[u], bool[u].

    Raises:
      ValueError: there is not one finite prediction for each question.
    """
    targets = np.isfinite(held_out)
    users = int(targets.sum())
    scores, targets, seen = (
        values.reshape(users, -1) for values in (checked(predictions, len(held_out)), targets, rated)
    )
    target = scores[targets][:, None]
    others = ~targets & ~seen
    places = 1 + ((scores > target) & others).sum(axis=1) + ((scores == target) & others).sum(axis=1) / 2
    hits = places <= TOP
    return hits / np.log2(1 + places), hits


def by_slice(
    gained: np.ndarray, hits: np.ndarray, stars: np.ndarray, slices: Mapping[str, Slice]
) -> dict[str, dict[str, float | int | None]]:
    """Return the means of each slice; `STARS_OF_HITS` is the mean rating of the hits, None without any.

    Args:
      gained: as `gains` has it, float[u].
      hits: as `gains` has it, bool[u].
      stars: that the users gave the movie held out, float[u].
      slices: by name.
    """
    return {
        name: part.counts()
        | {
            NDCG: _mean(gained[part.rows]),
            RECALL: _mean(hits[part.rows]),
            STARS_OF_HITS: _mean(stars[part.rows & hits]),
        }
        for name, part in slices.items()
    }


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
