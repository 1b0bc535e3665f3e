"""The embedding of a categorical field."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class FieldEmbedding(keras.layers.Layer):
    """Look up the vector of a field's index, or the mean of the vectors of its indices.

    Formula:
        e = (sum over the m non-zero indices i of V_i) / max(m, 1)

    Index 0 (padding or missing) contributes nothing, so an example of zeros alone is embedded as 0.
    In training the loss grows by `l2` times the mean of |e|^2 over the batch. A vector is thus pulled
    towards 0 as often as it is used.

    Args:
        rows: Number of indices, 0 included.
        dim: Length k of a vector.
        l2: Weight of the penalty, not negative.
        seed: Seed of the initial vectors, uniform in [-0.05, 0.05].
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        int[batch], or int[batch, length] padded with 0.

    Returns:
        float32[batch, dim].

    Example:
        >>> embedding = FieldEmbedding(4, 2)
        >>> embedding(np.array([[1, 3, 0]])).shape
        TensorShape([1, 2])

    Reference:
        Guo et al. 2017, DeepFM, section 2.1 and figure 4, https://arxiv.org/abs/1703.04247.
    """

    def __init__(
        self, rows: int, dim: int, *, l2: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if rows < 1:
            raise ValueError(f"`rows` must be positive, got {rows}")
        if dim < 1:
            raise ValueError(f"`dim` must be positive, got {dim}")
        if not l2 >= 0:
            raise ValueError(f"`l2` must not be negative, got {l2}")
        self.rows = rows
        self.dim = dim
        self.l2 = l2
        self.seed = seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the table, float32[rows, dim]."""
        if len(input_shape) not in (1, 2):
            raise ValueError(f"`inputs` must be of shape [batch] or [batch, length], got {input_shape}")
        self.table = self.add_weight(
            name="table",
            shape=(self.rows, self.dim),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05, seed=self.seed),
        )

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Embed a batch."""
        mask = ops.cast(ops.not_equal(inputs, 0), self.compute_dtype)
        outputs = ops.take(self.table, inputs, axis=0) * ops.expand_dims(mask, -1)
        if len(inputs.shape) == 2:
            count = ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)
            outputs = ops.sum(outputs, axis=1) / count
        if training and self.l2:
            self.add_loss(self.l2 * ops.mean(ops.sum(ops.square(outputs), axis=-1)))
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, dim)."""
        return (input_shape[0], self.dim)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "rows": self.rows, "dim": self.dim, "l2": self.l2, "seed": self.seed}
