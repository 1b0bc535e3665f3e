"""A hidden layer of the deep part."""

from typing import Any

import keras

from components.deepfm.config import DROPOUT_POSITIONS


@keras.saving.register_keras_serializable(package="deepfm")
class Hidden(keras.layers.Layer):
    """Apply one fully connected layer, with dropout before or after it.

    Formula:
        a' = relu(W d(a) + b), or d(relu(W a + b)), where d is dropout in training and the identity else

    Args:
        units: Size of the layer.
        dropout_rate: Share of units dropped in training, in [0, 1).
        dropout_position: "before" to drop inputs, "after" to drop outputs.
        seed: Seed of the initial weights (He uniform) and of the dropout.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        float32[batch, n].

    Returns:
        float32[batch, units].

    Example:
        >>> Hidden(3, 0.5, "before")(np.ones((2, 4), np.float32)).shape
        TensorShape([2, 3])

    Reference:
        Guo et al. 2017, DeepFM, equation (4), https://arxiv.org/abs/1703.04247.
    """

    def __init__(
        self,
        units: int,
        dropout_rate: float,
        dropout_position: str,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be positive, got {units}")
        if not 0 <= dropout_rate < 1:
            raise ValueError(f"`dropout_rate` must be in [0, 1), got {dropout_rate}")
        if dropout_position not in DROPOUT_POSITIONS:
            raise ValueError(
                f"`dropout_position` must be one of {DROPOUT_POSITIONS}, got {dropout_position!r}"
            )
        self.units = units
        self.dropout_rate = dropout_rate
        self.dropout_position = dropout_position
        self.seed = seed
        self.dense = keras.layers.Dense(
            units, "relu", kernel_initializer=keras.initializers.HeUniform(seed), name="dense"
        )
        self.dropout = keras.layers.Dropout(dropout_rate, seed=seed, name="dropout")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create W and b."""
        self.dense.build(input_shape)

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Transform a batch."""
        if self.dropout_position == "before":
            return self.dense(self.dropout(inputs, training=training))
        return self.dropout(self.dense(inputs), training=training)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, units)."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "dropout_rate": self.dropout_rate,
            "dropout_position": self.dropout_position,
            "seed": self.seed,
        }
