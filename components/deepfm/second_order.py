"""The second-order part of a factorization machine."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class SecondOrder(keras.layers.Layer):
    """Add up the inner products of all pairs of fields, in time linear in the number of fields.

    Formula:
        y = sum over i < j of <e_i, e_j> = 1/2 sum over the k dimensions of ((sum_i e_i)^2 - sum_i e_i^2)

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        A list of at least two embeddings, each float32[batch, k].

    Returns:
        float32[batch, 1].

    Example:
        >>> SecondOrder()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
        array([[11.]], dtype=float32)

    Reference:
        Guo et al. 2017, DeepFM, equation (2), second term, https://arxiv.org/abs/1703.04247. Rendle 2010,
        Factorization Machines, lemma 3.1, https://doi.org/10.1109/ICDM.2010.127.
    """

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Check the shapes."""
        if not isinstance(input_shape, list) or len(input_shape) < 2:
            raise ValueError(f"`inputs` must be a list of at least two embeddings, got shapes {input_shape}")
        if len({tuple(shape[1:]) for shape in input_shape}) != 1 or len(input_shape[0]) != 2:
            raise ValueError(f"`inputs` must all be of the same shape [batch, k], got shapes {input_shape}")

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Add up a batch's interactions."""
        square_of_sum = ops.square(sum(inputs))
        sum_of_squares = sum(ops.square(embedding) for embedding in inputs)
        return 0.5 * ops.sum(square_of_sum - sum_of_squares, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return (batch, 1)."""
        return (input_shape[0][0], 1)
