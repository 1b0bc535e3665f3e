"""How many of the test rows are of users and movies that the served version does not know."""

import os

import numpy as np
from tfx.dsl.io import fileio

from components.data_gate.config import DataGateConfig, Kind
from components.data_gate.ids import Ids
from components.data_gate.report import Measurement, measured
from schema import features


def unknown(
    ids: Ids, model: str, *, where: str, than: str, config: DataGateConfig
) -> tuple[list[Measurement], list[str]]:
    """Return the share of rows of each id that is out of the vocabulary, and what could not be judged.

    Args:
      ids: of a split.
      model: folder of the served SavedModel, whose assets hold its vocabularies.
      where: name of the split.
      than: the served version, in words.
      config: the bounds and the severity.
    """
    bounds = {features.UID.name: config.max_uid_oov, features.MID.name: config.max_mid_oov}
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
