"""The matrix factorization half of NeuMF."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class GeneralizedMatrixFactorization(keras.layers.Layer):
    """Weigh the element-wise product of a user's and an item's vector.

    Formula:
        y = h^T (p * q)

    With h = 1 it is plain matrix factorization, which is where training starts.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        A list of two embeddings, p and q, each float32[batch, k].

    Returns:
        float32[batch, 1].

    Example:
        >>> layer = GeneralizedMatrixFactorization()
        >>> layer([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
        array([[11.]], dtype=float32)

    Reference:
        He et al. 2017, Neural Collaborative Filtering, equations (8) and (9),
        https://arxiv.org/abs/1708.05031.
    """

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Create h, float32[k, 1]."""
        if (
            not isinstance(input_shape, list)
            or len(input_shape) != 2
            or input_shape[0][1:] != input_shape[1][1:]
        ):
            raise ValueError(f"`inputs` must be two embeddings of the same shape, got shapes {input_shape}")
        self.h = self.add_weight(name="h", shape=(input_shape[0][-1], 1), initializer="ones")

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Combine a batch of pairs."""
        user, item = inputs
        return ops.matmul(user * item, self.h)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return (batch, 1)."""
        return (input_shape[0][0], 1)
