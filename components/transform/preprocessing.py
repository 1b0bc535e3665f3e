"""The preprocessing that TFX's Transform component hosts, in the graph for training and serving alike.

| raw feature                         | transformed feature                                             |
|-------------------------------------|-----------------------------------------------------------------|
| uid, mid, gender, age, occupation   | `<name>_index`: int64[batch], laid out as `schema.features` says |
| genres                              | `genres_index`: int64[batch, `max_genres`], padded with 0        |
| zip, age, occupation                | `<name>_z`: float32[batch], the z-score; a missing value is 0    |
| timestamp                           | as it is, int64[batch]                                           |
| rating                              | as it is, float32[batch]; training only                          |

A zip is read as a number by its first five digits, where it begins with at least five: "98107-2117" is
98107 and "02139" is 2139. Anything else ("V6B 1A1", an empty field) is missing and gets the mean, which
is a z-score of 0.
"""

import tensorflow as tf
import tensorflow_transform as tft

from components.transform.config import TransformConfig
from schema import features

_ZIP_PATTERN = r"^\s*\d{5}.*$"
_ZIP_DIGITS = 5


def zip_to_number(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Read zips, string[batch], as numbers.

    Returns:
      float32[batch], 0 where there is none, and bool[batch], whether there is one.
    """
    present = tf.strings.regex_full_match(values, _ZIP_PATTERN)
    digits = tf.strings.substr(tf.strings.strip(values), 0, _ZIP_DIGITS)
    return tf.strings.to_number(tf.where(present, digits, "0")), present


def z_score(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Scale float32[batch] by the mean and variance of the present values; the others become 0."""
    known = tf.boolean_mask(values, present)
    mean, variance = tft.mean(known), tft.var(known)
    deviation = tf.where(variance > 0, tf.sqrt(variance), 1.0)
    return tf.where(present, (values - mean) / deviation, tf.zeros_like(values))


def preprocessing_fn(
    inputs: dict[str, tf.Tensor | tf.SparseTensor], custom_config: dict[str, str]
) -> dict[str, tf.Tensor]:
    """Transform a batch, as TFX's Transform component asks for it.

    Args:
      inputs: raw features by name; dense [batch] where the schema gives a shape, else sparse.
      custom_config: `transform_config` holds a `TransformConfig` as JSON.

    Returns:
      The transformed features by name.
    """
    config = TransformConfig.from_json(custom_config["transform_config"])
    outputs = {}
    for feature in features.CATEGORICAL:
        values = inputs[feature.name]
        if feature is features.GENRES:
            outputs[feature.index_name] = _genre_indices(values, config)
        else:
            outputs[feature.index_name] = _indices(values, feature, None, feature.oov_buckets)
    for feature in features.NUMERIC:
        values = inputs[feature.name]
        if feature is features.ZIP:
            numbers, present = zip_to_number(_dense(values, features.MISSING_STRING))
        else:
            numbers, present = tf.cast(values, tf.float32), tf.not_equal(values, features.MISSING_INT)
        outputs[feature.z_score_name] = z_score(numbers, present)
    for feature in features.CONTEXT_FEATURES:
        outputs[feature.name] = inputs[feature.name]
    if features.LABEL.name in inputs:  # absent when serving
        outputs[features.LABEL.name] = inputs[features.LABEL.name]
    return outputs


def _dense(values: tf.SparseTensor, missing: str) -> tf.Tensor:
    """Return the first value of each row, string[batch]."""
    shape = tf.stack([values.dense_shape[0], tf.maximum(values.dense_shape[1], 1)])
    widened = tf.SparseTensor(values.indices, values.values, shape)
    return tf.sparse.to_dense(widened, default_value=missing)[:, 0]


def _indices(values: tf.Tensor, feature: features.Feature, top_k: int | None, oov_buckets: int) -> tf.Tensor:
    """Look values up; missing ones, and without OOV buckets unknown ones too, become 0."""
    missing = features.MISSING_STRING if feature.dtype is features.Dtype.BYTES else features.MISSING_INT
    present = tf.not_equal(values, missing)
    vocabulary = tft.vocabulary(
        tf.boolean_mask(values, present), top_k=top_k, vocab_filename=feature.vocabulary_name
    )
    found = tft.apply_vocabulary(values, vocabulary, num_oov_buckets=oov_buckets)
    return tf.where(present, found + 1, 0)


def _genre_indices(values: tf.SparseTensor, config: TransformConfig) -> tf.Tensor:
    """Keep a movie's last genres; with a limited vocabulary, its last ones of the vocabulary."""
    top_k = config.genre_vocabulary_size
    oov_buckets = 0 if top_k else features.GENRES.oov_buckets
    dense = tf.sparse.to_dense(values, default_value=features.MISSING_STRING)
    indices = _indices(dense, features.GENRES, top_k, oov_buckets)
    last = tf.ragged.boolean_mask(indices, indices > 0)[:, -config.max_genres :]
    padded = last.to_tensor(default_value=0, shape=[None, config.max_genres])
    return tf.ensure_shape(padded, [None, config.max_genres])
