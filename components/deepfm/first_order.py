"""The first-order part of a factorization machine."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from components.deepfm.embedding import FieldEmbedding
from components.deepfm.numeric_embedding import NumericEmbedding


@keras.saving.register_keras_serializable(package="deepfm")
class FirstOrder(keras.layers.Layer):
    """Add up one weight per field: how much a value moves the rating by itself.

    Formula:
        y = <w, x>: w_i of a field's index i, the mean of the w_i of several, w x of a number x

    Args:
        rows: Number of indices of each categorical field, by the name of its input.
        numeric: Names of the inputs of the numeric fields.
        l2: Weight of the penalty on the weights used in a batch, as in `FieldEmbedding`.
        seed: Seed of the initial weights.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        A dictionary by input name: int[batch] or int[batch, length] of a categorical field, float32[batch]
        of a numeric one.

    Returns:
        float32[batch, 1].

    Example:
        >>> layer = FirstOrder({"colour": 4}, ["price"])
        >>> layer({"colour": np.array([2]), "price": np.array([0.5], np.float32)}).shape
        TensorShape([1, 1])

    Reference:
        Guo et al. 2017, DeepFM, equation (2), first term, https://arxiv.org/abs/1703.04247.
    """

    def __init__(
        self,
        rows: Mapping[str, int],
        numeric: Sequence[str] = (),
        *,
        l2: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not rows and not numeric:
            raise ValueError("`rows` and `numeric` must name at least one field between them, got none")
        self.rows = dict(rows)
        self.numeric = list(numeric)
        self.l2 = l2
        self.seed = seed
        seeds = random.Random(seed)
        self.terms: dict[str, keras.layers.Layer] = {}
        for name, size in self.rows.items():
            self.terms[name] = FieldEmbedding(size, 1, l2=l2, seed=seeds.getrandbits(31), name=name)
        for name in self.numeric:
            self.terms[name] = NumericEmbedding(1, l2=l2, seed=seeds.getrandbits(31), name=name)

    def build(self, input_shape: dict[str, tuple[int | None, ...]]) -> None:
        """Create the weights of each field."""
        if input_shape.keys() != self.terms.keys():
            raise ValueError(f"`inputs` must be those of {list(self.terms)}, got {list(input_shape)}")
        for name, term in self.terms.items():
            term.build(input_shape[name])

    def call(self, inputs: dict[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """Add up a batch's weights."""
        return sum(term(inputs[name], training=training) for name, term in self.terms.items())

    def compute_output_shape(self, input_shape: dict[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return (batch, 1)."""
        return (next(iter(input_shape.values()))[0], 1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "rows": self.rows,
            "numeric": self.numeric,
            "l2": self.l2,
            "seed": self.seed,
        }
