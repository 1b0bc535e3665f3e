"""Every feature once: its name, where it comes from, and how the model reads it.

Nothing outside this file spells a feature name. Raw features are what `ratings.dat`, `movies.dat`
and `users.dat` hold and what the served signatures take; transformed features are what the Transform
component derives from them and what the model is trained on.

Transformed categorical features are indices with one layout everywhere:

| index                      | meaning                                            |
|----------------------------|----------------------------------------------------|
| 0                          | padding, or the value is missing                   |
| 1 .. V                     | the V vocabulary entries, most frequent first      |
| V + 1 .. V + `oov_buckets` | values outside the vocabulary, spread by hash      |
"""

import dataclasses
import enum
from pathlib import Path

SCHEMA_PATH = Path(__file__).parent / "schema.pbtxt"

MISSING_INT = -1
MISSING_STRING = ""


class Dtype(enum.Enum):
    """The type of a raw feature's values, as tf.Example stores them."""

    INT64 = "int64"
    FLOAT = "float"
    BYTES = "bytes"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One raw feature."""

    name: str
    dtype: Dtype
    multivalent: bool = False  # a list of values per example, not just one
    oov_buckets: int = 0  # categorical features only: indices for values outside the vocabulary

    @property
    def index_name(self) -> str:
        """Name of the transformed categorical feature."""
        return f"{self.name}_index"

    @property
    def z_score_name(self) -> str:
        """Name of the transformed numeric feature."""
        return f"{self.name}_z"

    @property
    def vocabulary_name(self) -> str:
        """Name of the vocabulary file in the transform graph."""
        return f"{self.name}_vocabulary"


UID = Feature(name="uid", dtype=Dtype.INT64, oov_buckets=1)
MID = Feature(name="mid", dtype=Dtype.INT64, oov_buckets=1)
GENRES = Feature(name="genres", dtype=Dtype.BYTES, multivalent=True, oov_buckets=1)
GENDER = Feature(name="gender", dtype=Dtype.BYTES, oov_buckets=1)
AGE = Feature(name="age", dtype=Dtype.INT64, oov_buckets=1)
OCCUPATION = Feature(name="occupation", dtype=Dtype.INT64, oov_buckets=1)
ZIP = Feature(name="zip", dtype=Dtype.BYTES)

# Seconds since 1970-01-01 UTC. Of a rating: when it was given. Of a request: the moment that it asks about;
# MISSING_INT stands for the end of the training data, and where movies are put in order, for a return after
# a pause.
TIMESTAMP = Feature(name="timestamp", dtype=Dtype.INT64)
MAX_TIMESTAMP = 4102444799  # 2099-12-31; a larger one is in milliseconds, not seconds

RATING = Feature(name="rating", dtype=Dtype.FLOAT)
TITLE = Feature(name="title", dtype=Dtype.BYTES)

# What signature `rank` sorts by, beside the rating that it predicts; an output only, of no unit.
SCORE = Feature(name="score", dtype=Dtype.FLOAT)

# How much a user or movie was rated in the training split: one of ACTIVITY_LEVELS. For slices only.
USER_ACTIVITY = Feature(name="user_activity", dtype=Dtype.BYTES)
MOVIE_ACTIVITY = Feature(name="movie_activity", dtype=Dtype.BYTES)
ACTIVITY_LEVELS = ("cold", "light", "heavy")

LABEL = RATING
MIN_RATING, MAX_RATING = 1.0, 5.0  # stars

# Columns of users.dat and movies.dat beyond the id, in file order where the file has them.
USER_FEATURES = (GENDER, AGE, OCCUPATION, ZIP)
MOVIE_FEATURES = (GENRES,)

# What a request says of the question itself, and no table of users or movies could.
CONTEXT_FEATURES = (TIMESTAMP,)

# What a request to the served model carries.
SERVED = (UID, MID, *USER_FEATURES, *MOVIE_FEATURES, *CONTEXT_FEATURES)

CATEGORICAL = (UID, MID, GENRES, GENDER, AGE, OCCUPATION)
NUMERIC = (ZIP, AGE, OCCUPATION)

# Everything that a tf.Example of the pipeline holds.
EXAMPLE = (*SERVED, RATING, TITLE, USER_ACTIVITY, MOVIE_ACTIVITY)
