"""The embedding of a numeric field."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class NumericEmbedding(keras.layers.Layer):
    """Scale a field's own vector by the field's value.

    Formula:
        e = x V

    So the field interacts with the others as in a factorization machine: <V, V_j> x x_j. In training the
    loss grows by `l2` times the mean of |e|^2 over the batch.

    Args:
        dim: Length k of the vector.
        l2: Weight of the penalty, not negative.
        seed: Seed of the initial vector, uniform in [-0.05, 0.05].
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        float32[batch].

    Returns:
        float32[batch, dim].

    Example:
        >>> NumericEmbedding(2)(np.array([0.5], np.float32)).shape
        TensorShape([1, 2])

    Reference:
        Rendle 2010, Factorization Machines, equation (1), https://doi.org/10.1109/ICDM.2010.127.
    """

    def __init__(self, dim: int, *, l2: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dim < 1:
            raise ValueError(f"`dim` must be positive, got {dim}")
        if not l2 >= 0:
            raise ValueError(f"`l2` must not be negative, got {l2}")
        self.dim = dim
        self.l2 = l2
        self.seed = seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vector, float32[dim]."""
        if len(input_shape) != 1:
            raise ValueError(f"`inputs` must be of shape [batch], got {input_shape}")
        self.vector = self.add_weight(
            name="vector",
            shape=(self.dim,),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05, seed=self.seed),
        )

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Embed a batch."""
        outputs = ops.expand_dims(inputs, -1) * self.vector
        if training and self.l2:
            self.add_loss(self.l2 * ops.mean(ops.sum(ops.square(outputs), axis=-1)))
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, dim)."""
        return (input_shape[0], self.dim)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "dim": self.dim, "l2": self.l2, "seed": self.seed}
