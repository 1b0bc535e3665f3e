"""The SavedModel that is served: three signatures, each from raw features to ratings.

| signature         | inputs                                                   | outputs                   |
|-------------------|----------------------------------------------------------|---------------------------|
| `serving_default` | `examples` string[n], serialized tf.Examples             | `rating` [n]              |
| `predict`         | raw features, [n]; `genres` string[n, G], padded with "" | `rating` [n]              |
| `rank`            | one user's features and `timestamp`, [1];                | `mid`, `rating` and       |
|                   | m movies' `mid` and `genres`                             | `score`, [m] each         |

A tf.Example without `timestamp` is one of MISSING_INT: it asks about the end of the training data, and `rank`
about a return after a pause.
`rank` returns the movies by score, the best first, ties in the order of the request. The score is that of
the model's order, or the rating if it has none. All hold the transform graph. The export goes through
keras.export.ExportArchive: what tf.saved_model.save makes of a Keras 3 model cannot be loaded into a
Session, which is how TensorFlow Serving loads.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf
import tensorflow_transform as tft

from schema import features

_DTYPES = {
    features.Dtype.INT64: tf.int64,
    features.Dtype.FLOAT: tf.float32,
    features.Dtype.BYTES: tf.string,
}
_ONCE_IN_RANK = (features.UID, *features.USER_FEATURES, *features.CONTEXT_FEATURES)


def export(
    model: keras.Model,
    transform_output: tft.TFTransformOutput,
    path: str,
    order: keras.Model | None = None,
) -> None:
    """Write a trained model with its transform graph.

    Args:
      model: takes transformed features by name, returns float32[batch].
      transform_output: the transform graph that the model was trained on.
      path: folder of the SavedModel.
      order: takes transformed features and the rating by name, returns the score, float32[batch].
    """
    transform = transform_output.transform_features_layer()
    example_spec = {
        name: spec
        for name, spec in transform_output.raw_feature_spec().items()
        if name in {feature.name for feature in features.SERVED}
    }
    for feature in features.CONTEXT_FEATURES:  # the schema demands them of training data, not of a client
        example_spec[feature.name] = tf.io.FixedLenFeature([], _DTYPES[feature.dtype], features.MISSING_INT)

    def rate(transformed: dict[str, tf.Tensor]) -> tf.Tensor:
        return model({name: transformed[name] for name in model.input}, training=False)

    def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {features.RATING.name: rate(transform(tf.io.parse_example(examples, example_spec)))}

    def predict(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {features.RATING.name: rate(transform(as_parsed(raw, example_spec)))}

    def rank(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        mids = raw[features.MID.name]
        once = {feature.name: tf.repeat(raw[feature.name][:1], tf.size(mids)) for feature in _ONCE_IN_RANK}
        transformed = transform(as_parsed({**raw, **once}, example_spec))
        ratings = rate(transformed)
        scores = ratings
        if order is not None:
            known = {**transformed, features.RATING.name: ratings}
            scores = order({name: known[name] for name in order.input}, training=False)
        best = tf.argsort(scores, direction="DESCENDING", stable=True)
        return {
            features.MID.name: tf.gather(mids, best),
            features.RATING.name: tf.gather(ratings, best),
            features.SCORE.name: tf.gather(scores, best),
        }

    archive = keras.export.ExportArchive()
    archive.track(model)
    if order is not None:
        archive.track(order)
    archive.track(transform)
    examples = tf.TensorSpec([None], tf.string, "examples")
    archive.add_endpoint(name="serving_default", fn=serving_default, input_signature=[examples])
    archive.add_endpoint(name="predict", fn=predict, input_signature=[_raw_spec({})])
    archive.add_endpoint(name="rank", fn=rank, input_signature=[_raw_spec(dict.fromkeys(_ONCE_IN_RANK, 1))])
    archive.write_out(path, verbose=False)


def _raw_spec(rows: Mapping[features.Feature, int]) -> dict[str, tf.TensorSpec]:
    """Return the raw features of a request; any number of rows where `rows` does not say."""
    return {
        feature.name: tf.TensorSpec(
            [rows.get(feature), None] if feature.multivalent else [rows.get(feature)],
            _DTYPES[feature.dtype],
            feature.name,
        )
        for feature in features.SERVED
    }


def as_parsed(
    raw: dict[str, tf.Tensor], spec: dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Return dense raw tensors in the form that parsing a tf.Example gives; "" is no value.

    Args:
      raw: by feature, [n] each or [n, width] of a feature of many values.
      spec: of the raw features.
    """
    return {
        name: tf.sparse.from_dense(value if value.shape.rank == 2 else value[:, tf.newaxis])
        if isinstance(spec[name], tf.io.VarLenFeature)
        else value
        for name, value in raw.items()
    }
