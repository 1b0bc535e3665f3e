"""How much a movie is a user's next one: the score that `rank` sorts by."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from components.deepfm.user_drift import NEVER

GATES = 2  # of the start, the side fields' and a history's vectors: at once, and after a pause


@keras.saving.register_keras_serializable(package="choice")
class NextMovie(keras.layers.Layer):
    """Score a user's movies at a moment: those that the user will choose, and like.

    Formula:
        s(u, i, t) = <p_ug, q_i> + b_i + weight * rating(u, i, t), where
        p_ug = start_g + history_ug + the sum of the vectors of the user's other fields, and
        g is 1 if the moment t is more than `pause_seconds` after the user's last rating, else 0

    A missing moment is after a pause. A user without ratings has no history and makes no pause. The weights
    are not trained but given.

    Args:
        users: Number of indices of users.
        movies: Number of indices of movies.
        fields: Number of indices of each other field of a user, by the name of its input.
        users_input: Name of the input of users.
        movies_input: Name of the input of movies.
        timestamp_input: Name of the input of moments.
        rating_input: Name of the input of predicted ratings.
        dim: Dimensions of the vectors.
        pause_seconds: How long a pause is at least.
        rating_weight: What a star more counts, in units of the logarithm of the odds to be chosen.
        **kwargs: Of `keras.layers.Layer`.

    Inputs:
        A dictionary by input name: indices int[batch]; moments int64[batch] in seconds since the epoch, a
        negative one is missing; predicted ratings float32[batch] in stars.

    Returns:
        float32[batch].

    Reference:
        Rendle et al. 2010, Factorizing Personalized Markov Chains for Next-Basket Recommendation,
        https://doi.org/10.1145/1772690.1772773; here with longer histories and a softmax over all movies.
    """

    def __init__(
        self,
        users: int,
        movies: int,
        fields: Mapping[str, int],
        *,
        users_input: str,
        movies_input: str,
        timestamp_input: str,
        rating_input: str,
        dim: int,
        pause_seconds: int,
        rating_weight: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("users", users), ("movies", movies), ("dim", dim)):
            if value < 1:
                raise ValueError(f"`{name}` must be positive, got {value}")
        if not rating_weight >= 0:
            raise ValueError(f"`rating_weight` must not be negative, got {rating_weight}")
        self.users = users
        self.movies = movies
        self.fields = dict(fields)
        self.users_input = users_input
        self.movies_input = movies_input
        self.timestamp_input = timestamp_input
        self.rating_input = rating_input
        self.dim = dim
        self.pause_seconds = pause_seconds
        self.rating_weight = rating_weight

    def build(self, input_shape: dict[str, tuple[int | None, ...]]) -> None:
        """Create the weights."""
        expected = {
            self.users_input,
            self.movies_input,
            self.timestamp_input,
            self.rating_input,
            *self.fields,
        }
        if input_shape.keys() != expected:
            raise ValueError(f"`inputs` must be those of {sorted(expected)}, got {sorted(input_shape)}")
        self.start = self._given("start", (GATES, self.dim))
        self.history = self._given("history", (self.users, GATES * self.dim))
        self.last = self._given("last", (self.users,), "int64", keras.initializers.Constant(NEVER))
        self.effects = {name: self._given(name, (rows, self.dim)) for name, rows in self.fields.items()}
        self.movie = self._given("movie", (self.movies, self.dim))
        self.bias = self._given("bias", (self.movies,))

    def call(self, inputs: dict[str, keras.KerasTensor]) -> keras.KerasTensor:
        """Score a batch."""
        users, times = inputs[self.users_input], inputs[self.timestamp_input]
        last = ops.take(self.last, users)
        paused = ops.logical_and(
            ops.not_equal(last, NEVER),
            ops.logical_or(times < 0, times - last > self.pause_seconds),
        )
        gate = ops.cast(paused, "int32")
        history = ops.reshape(ops.take(self.history, users, axis=0), (-1, GATES, self.dim))
        here = ops.expand_dims(ops.one_hot(gate, GATES, dtype=self.compute_dtype), -1)
        vector = ops.sum(here * (history + self.start), axis=1)
        for name, effects in self.effects.items():
            vector = vector + ops.take(effects, inputs[name], axis=0)
        movies = inputs[self.movies_input]
        chosen = ops.sum(vector * ops.take(self.movie, movies, axis=0), axis=-1) + ops.take(self.bias, movies)
        return chosen + self.rating_weight * inputs[self.rating_input]

    def _given(
        self, name: str, shape: tuple[int, ...], dtype: str = "float32", initializer: Any = "zeros"
    ) -> keras.Variable:
        """Create a weight that training leaves alone."""
        return self.add_weight(name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False)

    def compute_output_shape(self, input_shape: dict[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return (batch,)."""
        return (input_shape[self.users_input][0],)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "users": self.users,
            "movies": self.movies,
            "fields": self.fields,
            "users_input": self.users_input,
            "movies_input": self.movies_input,
            "timestamp_input": self.timestamp_input,
            "rating_input": self.rating_input,
            "dim": self.dim,
            "pause_seconds": self.pause_seconds,
            "rating_weight": self.rating_weight,
        }
