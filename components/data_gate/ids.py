"""The users and movies of a split."""

import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from schema import features

_BATCH_ROWS = 4096

Ids = Mapping[str, np.ndarray]  # int64[rows] by the name of the feature


def read(folder: str) -> Ids:
    """Return the ids of all rows.

    Args:
      folder: of a split's tf.Examples.
    """
    names = (features.UID.name, features.MID.name)
    spec = {name: tf.io.FixedLenFeature([], tf.int64) for name in names}
    files = sorted(fileio.glob(os.path.join(folder, "*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH_ROWS)
    batches = list(records.map(lambda batch: tf.io.parse_example(batch, spec)).as_numpy_iterator())
    return {
        name: np.concatenate([np.empty(0, np.int64), *(batch[name] for batch in batches)]) for name in names
    }


def effective_users(uids: np.ndarray) -> float:
    """Return how many users with as many rows each would tell as much of what users are like.

    Formula:
        (sum of the rows of each user)^2 / sum of (the rows of each user)^2

    Args:
      uids: int64[rows].

    Reference:
      Kish 1965, Survey Sampling, section 11.7.
    """
    _, rows = np.unique(uids, return_counts=True)
    return float(rows.sum() ** 2 / np.square(rows).sum()) if len(rows) else 0.0
