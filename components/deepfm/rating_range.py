"""The scale of ratings."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deepfm")
class RatingRange(keras.layers.Layer):
    """Clip predictions to the scale of ratings, at inference only.

    Formula:
        y' = min(max(y, low), high), and y' = y in training, where a clipped value would have no gradient

    Args:
        low: The lowest rating.
        high: The highest rating, above `low`.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        float32[batch].

    Returns:
        float32[batch].

    Example:
        >>> RatingRange(1.0, 5.0)(np.array([0.5, 5.5], np.float32)).numpy()
        array([1., 5.], dtype=float32)
    """

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not low < high:
            raise ValueError(f"`low` must be below `high`, got {low} and {high}")
        self.low = low
        self.high = high

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Clip at inference, else pass on."""
        return inputs if training else ops.clip(inputs, self.low, self.high)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "low": self.low, "high": self.high}
