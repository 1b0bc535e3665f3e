"""The rows by which it is measured what more training ratings are worth.

The test rows are those of the random split. Of the training and validation rows a share is kept, by a hash
that the split does not depend on, so that a smaller share is part of each larger one. They are a dataset of
their own with the test rows, in `DATASET`, which the pipeline splits into the same rows again.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from components.ratings_example_gen import split
from components.ratings_example_gen.config import ExampleGenConfig
from schema import features
from tests.benchmarks.quality import splits

DATASET = "dataset"


def make(dataset: Path, config: ExampleGenConfig, share: float, folder: Path) -> str:
    """Write the rows and the dataset, unless they are there already.

    Args:
      dataset: holds ratings.dat, movies.dat and users.dat.
      config: says how rows are split: at random.
      share: of the training and validation rows, above 0 and below 1.
      folder: where to; appears whole or not at all.

    Returns:
      What tells the rows from others, as `splits.identity`.

    Raises:
      ValueError: a split of the ratings is empty.
    """
    with splits.made(folder, f"{share} of {splits.source(dataset, config, Path(__file__))}") as incoming:
        if incoming is not None:
            train, valid, test = splits.divide(splits.accepted(dataset), config)
            train, valid = (rows.filter(pa.array(kept(rows, config, share))) for rows in (train, valid))
            splits.write(train, valid, test, config, incoming)
            splits.write_dataset(pa.concat_tables([train, valid, test]), dataset, incoming / DATASET)
    return splits.identity(dataset, folder)


def kept(rows: pa.Table, config: ExampleGenConfig, share: float) -> np.ndarray:
    """Return which rows are in a share, bool[n]."""
    uid, mid = (rows[feature.name].to_numpy() for feature in (features.UID, features.MID))
    return split.mix(split.row_hash(uid, mid, config.split_seed)) < np.uint64(share * 2**64)
