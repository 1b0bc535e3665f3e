"""Training of the embedding that unknown values share."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class OovDropout(keras.layers.Layer):
    """Replace a share of the indices by those of the OOV buckets, in training only.

    Formula:
        i' = V + 1 + b with probability `rate`, where b is uniform in 0 .. `oov_buckets` - 1; else i' = i

    A full vocabulary holds every value of the training data, so without this layer the vectors of the OOV
    buckets would stay as they were initialised. With it they become what is known of a value of which
    nothing is known. Padding (index 0) is kept.

    Args:
        vocabulary_size: V.
        oov_buckets: Number of OOV buckets.
        rate: Share of the indices to replace, in [0, 1).
        seed: Seed of the choice.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        int[...], with the index layout of `schema.features`.

    Returns:
        int[...], of the same shape and type.

    Example:
        >>> dropout = OovDropout(vocabulary_size=3, oov_buckets=1, rate=0.5, seed=1)
        >>> dropout(np.array([1, 2, 0]), training=False).numpy()
        array([1, 2, 0])
    """

    def __init__(
        self, vocabulary_size: int, oov_buckets: int, rate: float, *, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if vocabulary_size < 1:
            raise ValueError(f"`vocabulary_size` must be positive, got {vocabulary_size}")
        if oov_buckets < 1:
            raise ValueError(f"`oov_buckets` must be positive, got {oov_buckets}")
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1), got {rate}")
        self.vocabulary_size = vocabulary_size
        self.oov_buckets = oov_buckets
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Replace in training, else pass on."""
        if not training or not self.rate:
            return inputs
        # One draw decides both: below `rate` it is replaced, and where below it says by which bucket.
        draw = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
        bucket = ops.minimum(ops.floor(draw / self.rate * self.oov_buckets), self.oov_buckets - 1)
        replacement = ops.cast(bucket, inputs.dtype) + (self.vocabulary_size + 1)
        return ops.where(ops.logical_and(draw < self.rate, ops.not_equal(inputs, 0)), replacement, inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def compute_output_spec(
        self, inputs: keras.KerasTensor, training: bool | None = None
    ) -> keras.KerasTensor:
        """Return the shape and the integer type of the input."""
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "oov_buckets": self.oov_buckets,
            "rate": self.rate,
            "seed": self.seed,
        }
