"""Properties of the examples, and with them of the manifest of a version that was trained on them."""

from typing import Final

FIRST_RATING: Final = "first_rating"  # of the training and validation splits, in seconds since 1970
LAST_RATING: Final = "last_rating"
