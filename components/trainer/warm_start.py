"""What a version carries for a later training to begin with, and how that training takes it up.

`warm_start.npz` in the version's assets.extra, which numpy reads without TensorFlow and without pickle:

| key                    | value                                                                |
|------------------------|----------------------------------------------------------------------|
| `structure`            | what gives the weights their meaning, as JSON                        |
| `weight/<path>`        | a weight of the Keras model                                          |
| `vocabulary/<feature>` | bytes[V], the entries in the order of their indices, the first is 1  |

What moves with the data and is not trained, such as the mean of a z-score, lies in the transform graph,
which each run makes anew.
"""

import dataclasses
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from components.deepfm.config import DeepFMConfig
from components.deepfm.fields import CategoricalField
from components.deepfm.model import USER_DRIFT, embedding_tables
from components.errors import RunStoppedError
from components.trainer.start import Entries

WARM_START_FILE = os.path.join("assets.extra", "warm_start.npz")

_STRUCTURE = "structure"
_WEIGHT = "weight/"
_VOCABULARY = "vocabulary/"
# The fields of the configuration that give the weights their meaning; the others tell how to train them.
_STRUCTURAL = (
    "architecture",
    "categorical",
    "numeric",
    "embedding_dim",
    "chains",
    "hidden_units",
    "deep_output_activation",
)

Vocabularies = Mapping[str, Sequence[bytes]]


class DoesNotFitError(Exception):
    """The weights of the served model do not fit the new one; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a version carries."""

    structure: dict[str, Any]
    weights: dict[str, np.ndarray]  # by path
    vocabularies: dict[str, list[bytes]]  # by categorical feature; entries in the order of their indices


def snapshot(model: keras.Model, config: DeepFMConfig, vocabularies: Vocabularies) -> Snapshot:
    """Return what a trained model hands on.

    Args:
      model: of `build_model`.
      config: that it was built with.
      vocabularies: of at least its categorical features, by name.
    """
    return Snapshot(
        structure=_structure(config),
        weights={path: weight.numpy() for path, weight in _carried(model).items()},
        vocabularies={name: list(vocabularies[name]) for name in config.categorical},
    )


def write(taken: Snapshot, folder: str) -> None:
    """Write a snapshot into the folder of a SavedModel."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        **{_STRUCTURE: np.array(json.dumps(taken.structure))},
        **{f"{_WEIGHT}{path}": weight for path, weight in taken.weights.items()},
        **{f"{_VOCABULARY}{name}": np.array(entries) for name, entries in taken.vocabularies.items()},
    )
    path = os.path.join(folder, WARM_START_FILE)
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "wb") as file:
        file.write(buffer.getvalue())


def read(folder: str) -> Snapshot:
    """Read the snapshot in the folder of a SavedModel.

    Raises:
      DoesNotFitError: there is none: the version is older than this file, or was put there by hand.
      RunStoppedError: it is damaged.
    """
    path = os.path.join(folder, WARM_START_FILE)
    if not fileio.exists(path):
        raise DoesNotFitError(f"it has no {WARM_START_FILE}")
    with fileio.open(path, "rb") as file:
        content = io.BytesIO(file.read())
    try:
        with np.load(content, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        return Snapshot(
            structure=dict(json.loads(found[_STRUCTURE].item())),
            weights=_of(found, _WEIGHT),
            vocabularies={name: entries.tolist() for name, entries in _of(found, _VOCABULARY).items()},
        )
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, KeyError) as error:
        raise RunStoppedError(
            f"{path}, a copy of the served version's, is damaged: {error}\n"
            "go back to a sound version with `deepfm rollback`, or begin without it: `deepfm run --cold`"
        ) from error


def take_over(
    model: keras.Model,
    config: DeepFMConfig,
    fields: Sequence[CategoricalField],
    vocabularies: Vocabularies,
    served: Snapshot,
    share: float,
) -> dict[str, Entries]:
    """Move all weights of a new model towards those of the served one, or none.

    An embedding goes with its vocabulary entry, whatever its index is now. What is served of a new entry is
    the embedding of the OOV bucket that its hash had: of all, what the model said of it before. (Of a genre
    outside a limited vocabulary it said nothing; one that enters it begins with an untrained embedding.)

    Formula:
        w = share * w(served) + (1 - share) * w(initial)

    Args:
      model: of `build_model`.
      config: that it was built with.
      fields: that it was built with.
      vocabularies: of at least its categorical features, by name.
      served: of the served model.
      share: from 0 to 1. Of a chain of models that each go on with the weights of the one before, on rows
        that are for the most part the same, each fits those rows more closely than the one before, and new
        ones worse; what is forgotten of the weights in between holds that off.

    Returns:
      How each vocabulary has changed.

    Raises:
      DoesNotFitError: the served model is built in another way.

    Reference:
      Ash and Adams 2020, On Warm-Starting Neural Network Training (shrink and perturb),
      https://arxiv.org/abs/1910.08475.
    """
    was = {"chains": 1} | served.structure  # which a version from before there were chains lacks
    changed = [
        f"`{name}` was {was.get(name)}, is {value}"
        for name, value in _structure(config).items()
        if was.get(name) != value
    ]
    if changed:
        raise DoesNotFitError("; ".join(changed))
    weights = _carried(model)
    if weights.keys() != served.weights.keys():
        differing = ", ".join(sorted(weights.keys() ^ served.weights.keys()))
        raise DoesNotFitError(f"one of the two lacks the weights {differing}")
    values = dict(served.weights)
    buckets = {field.name: field.oov_buckets for field in fields}
    for path, name in embedding_tables(model, fields).items():
        rows = _old_rows(served.vocabularies[name], vocabularies[name], buckets[name])
        expected = 1 + len(served.vocabularies[name]) + buckets[name]
        if len(values[path]) != expected:
            raise DoesNotFitError(f"{path} has {len(values[path])} rows, expected {expected}")
        values[path] = values[path][rows]
    for path, weight in weights.items():
        if values[path].shape != tuple(weight.shape):
            raise DoesNotFitError(f"{path} was of shape {values[path].shape}, is {tuple(weight.shape)}")
    for path, weight in weights.items():
        weight.assign(share * values[path] + (1 - share) * weight.numpy())
    return {name: _compare(served.vocabularies[name], vocabularies[name]) for name in config.categorical}


def _structure(config: DeepFMConfig) -> dict[str, Any]:
    fields = json.loads(config.to_json())
    return {name: fields[name] for name in _STRUCTURAL}


def _carried(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the weights, by path, but for the drift, which each training finds in its own rows."""
    return {weight.path: weight for weight in model.weights if USER_DRIFT not in weight.path.split("/")}


def _of(found: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def _old_rows(old: Sequence[bytes], new: Sequence[bytes], oov_buckets: int) -> np.ndarray:
    """Return which row of the old table each row of the new one comes from, int[1 + V + OOV buckets]."""
    index = {entry: number for number, entry in enumerate(old, start=1)}
    first_bucket = 1 + len(old)
    # The hash of tf.lookup.StaticVocabularyTable, by which the transform graph finds the bucket.
    buckets = tf.strings.to_hash_bucket_fast(np.array(new, object), oov_buckets).numpy()
    entries = [
        index.get(entry, first_bucket + bucket) for entry, bucket in zip(new, buckets.tolist(), strict=True)
    ]
    return np.array([0, *entries, *range(first_bucket, first_bucket + oov_buckets)])


def _compare(old: Sequence[bytes], new: Sequence[bytes]) -> Entries:
    kept = len(set(old) & set(new))
    return Entries(kept=kept, new=len(new) - kept, gone=len(old) - kept)
