"""The drift of a user's ratings."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

KEY_OF_USER = 2**32  # a key is index * KEY_OF_USER + timestamp, which is below it
NEVER = np.iinfo(np.int64).max  # in place of a moment, for an index without a rating
SECONDS_PER_DAY = 86_400.0
_FIRST_KEY = -1  # no user's


@keras.saving.register_keras_serializable(package="deepfm")
class UserDrift(keras.layers.Layer):
    """Say by how much a user's ratings are above the usual at a moment.

    Formula:
        d_u(t) = slope * log(1 + days since the first rating) + f_u(t) + sum over c of x_uc(t), where f_u(t)
        is what the stage of the user's history adds at the first rating from t on, and nothing after the
        last one; and x_uc is the mean of an Ornstein-Uhlenbeck process with the time
        constant s_c, given its levels x_l and x_r at the user's last rating up to t and the first one after
        it, a_l and a_r seconds away:

        x_uc(t) = (e^(-a_l/s) (1 - e^(-2 a_r/s)) x_l + e^(-a_r/s) (1 - e^(-2 a_l/s)) x_r)
                  / (1 - e^(-2 (a_l + a_r)/s))

    The longer ago the last rating is, the nearer to 0 is x; a user without ratings has no drift. The
    weights are not trained but given: a key for each user and second with a rating, ascending, after a
    first one that is below all others, and the levels then and what the stage adds.

    Args:
        rows: Number of indices of users, as of their embedding.
        cells: Number of keys, the first one included.
        seconds: Time constants.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        Indices int[batch], and timestamps int64[batch] in seconds since the epoch, below 2**32; a negative
        one is missing, and becomes the latest of the training data.

    Returns:
        float32[batch, 1], in stars.

    Example:
        >>> UserDrift(rows=4, cells=1, seconds=[60.0])([np.array([1]), np.array([978_300_000])]).numpy()
        array([[0.]], dtype=float32)

    Reference:
        Uhlenbeck and Ornstein 1930, On the Theory of the Brownian Motion,
        https://doi.org/10.1103/PhysRev.36.823; Koren 2009, Collaborative Filtering with Temporal Dynamics,
        https://doi.org/10.1145/1557019.1557072, has the drift of biases.
    """

    def __init__(self, rows: int, cells: int, seconds: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rows < 1:
            raise ValueError(f"`rows` must be positive, got {rows}")
        if cells < 1:
            raise ValueError(f"`cells` must be positive, got {cells}")
        if not seconds or min(seconds) <= 0:
            raise ValueError(f"`seconds` must be one or more positive times, got {seconds}")
        self.rows = rows
        self.cells = cells
        self.seconds = list(seconds)

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Create the weights."""
        if not isinstance(input_shape, list) or [len(shape) for shape in input_shape] != [1, 1]:
            raise ValueError(f"`inputs` must be two of shape [batch], got shapes {input_shape}")
        self.keys = self._given("keys", (self.cells,), "int64", keras.initializers.Constant(_FIRST_KEY))
        self.levels = self._given("levels", (self.cells, len(self.seconds)), "float32")
        self.since = self._given("since", (self.rows,), "int64", keras.initializers.Constant(NEVER))
        self.slope = self._given("slope", (), "float32")
        self.stages = self._given("stages", (self.cells,), "float32")
        self.latest = self._given("latest", (), "int64")

    def call(self, inputs: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Say it for a batch."""
        users = ops.cast(inputs[0], "int64")
        times = ops.where(inputs[1] < 0, self.latest, inputs[1])
        left = ops.searchsorted(self.keys, users * KEY_OF_USER + times, side="right") - 1
        right = ops.minimum(left + 1, self.cells - 1)
        constants = ops.convert_to_tensor(self.seconds, "float32")
        before, from_left = _apart(ops.take(self.keys, left), users, times, constants)
        after, from_right = _apart(
            ops.where(right > left, ops.take(self.keys, right), _FIRST_KEY), users, times, constants
        )
        within = -ops.expm1(-2.0 * ops.maximum(before + after, 1.0) / constants)
        paths = (
            from_left * -ops.expm1(-2.0 * after / constants) * ops.take(self.levels, left, axis=0)
            + from_right * -ops.expm1(-2.0 * before / constants) * ops.take(self.levels, right, axis=0)
        ) / within
        tenure = ops.cast(ops.maximum(times - ops.take(self.since, users), 0), "float32")
        slope = self.slope * ops.log1p(ops.expand_dims(tenure, -1) / SECONDS_PER_DAY)
        # A left cell zero seconds away is the moment's own.
        stage = ops.where(
            before > 0,
            ops.where(after < KEY_OF_USER, ops.expand_dims(ops.take(self.stages, right), -1), 0.0),
            ops.expand_dims(ops.take(self.stages, left), -1),
        )
        return slope + stage + ops.sum(paths, axis=-1, keepdims=True)

    def _given(
        self, name: str, shape: tuple[int, ...], dtype: str, initializer: Any = "zeros"
    ) -> keras.Variable:
        """Create a weight that training leaves alone."""
        return self.add_weight(name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return (batch, 1)."""
        return (input_shape[0][0], 1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "rows": self.rows, "cells": self.cells, "seconds": self.seconds}


def _apart(
    keys: keras.KerasTensor, users: keras.KerasTensor, times: keras.KerasTensor, constants: keras.KerasTensor
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the seconds to cells, [batch, 1], and what is left of their levels by then, [batch, c].

    Of a cell that is not the user's nothing is left.
    """
    same = ops.expand_dims(ops.equal(keys // KEY_OF_USER, users), -1)
    gap = ops.cast(ops.abs(times - keys % KEY_OF_USER), "float32")
    gap = ops.where(same, ops.expand_dims(gap, -1), np.float32(KEY_OF_USER))
    return gap, ops.where(same, ops.exp(-gap / constants), 0.0)
