"""The sum of a model's parts."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class Combination(keras.layers.Layer):
    """Add up the parts and the global bias.

    Formula:
        y = w_0 + sum of the parts

    A rating is predicted, not a click, so the sigmoid of the paper's equation is left out.

    Args:
        bias: Initial w_0, such as the mean rating.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        A list of parts, each float32[batch, 1].

    Returns:
        float32[batch].

    Example:
        >>> Combination(3.5)([np.array([[0.25]]), np.array([[-1.0]])]).numpy()
        array([2.75], dtype=float32)

    Reference:
        Guo et al. 2017, DeepFM, equation (1), https://arxiv.org/abs/1703.04247; w_0 is that of Rendle
        2010, Factorization Machines, equation (1), https://doi.org/10.1109/ICDM.2010.127.
    """

    def __init__(self, bias: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bias = bias

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Create w_0, float32[]."""
        if not isinstance(input_shape, list) or any(tuple(shape[1:]) != (1,) for shape in input_shape):
            raise ValueError(
                f"`inputs` must be a list of parts of shape [batch, 1], got shapes {input_shape}"
            )
        self.w_0 = self.add_weight(name="w_0", shape=(), initializer=keras.initializers.Constant(self.bias))

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Add up a batch's parts."""
        return ops.squeeze(sum(inputs), axis=-1) + self.w_0

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return (batch,)."""
        return (input_shape[0][0],)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "bias": self.bias}
