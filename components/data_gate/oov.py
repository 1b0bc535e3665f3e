"""How many of the test rows are of users and movies that the served version does not know."""

import os

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from components.data_gate.config import DataGateConfig, Kind
from components.data_gate.report import Measurement, measured
from schema import features

_BATCH_ROWS = 4096


def unknown(
    folder: str, model: str, *, where: str, than: str, config: DataGateConfig
) -> tuple[list[Measurement], list[str]]:
    """Return the share of rows of each id that is out of the vocabulary, and what could not be judged.

    Args:
      folder: of a split's tf.Examples.
      model: folder of the served SavedModel, whose assets hold its vocabularies.
      where: name of the split.
      than: the served version, in words.
      config: the bounds and the severity.
    """
    bounds = {features.UID.name: config.max_uid_oov, features.MID.name: config.max_mid_oov}
    ids = _read_ids(folder, list(bounds))
    found, notes = [], []
    for feature in (features.UID, features.MID):
        path = os.path.join(model, "assets", feature.vocabulary_name)
        rows = len(ids[feature.name])
        if not fileio.exists(path):
            notes.append(f"`{feature.name}`: {than} has no vocabulary of it")
        elif rows < config.min_oov_rows:
            notes.append(f"`{feature.name}`: {rows} rows in {where}, too few to say how many are new")
        else:
            with fileio.open(path, "rb") as file:
                vocabulary = np.array(file.read().split(), np.int64)
            found.append(
                measured(
                    config,
                    Kind.OOV,
                    feature=feature.name,
                    where=where,
                    what=f"share of rows that {than} does not know",
                    figure=float(1 - np.isin(ids[feature.name], vocabulary).mean()),
                    high=bounds[feature.name],
                )
            )
    return found, notes


def _read_ids(folder: str, names: list[str]) -> dict[str, np.ndarray]:
    """Return the ids of all rows, int64[n] each."""
    spec = {name: tf.io.FixedLenFeature([], tf.int64) for name in names}
    files = sorted(fileio.glob(os.path.join(folder, "*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH_ROWS)
    batches = list(records.map(lambda batch: tf.io.parse_example(batch, spec)).as_numpy_iterator())
    return {
        name: np.concatenate([np.empty(0, np.int64), *(batch[name] for batch in batches)]) for name in names
    }
