"""Learns which movie comes next."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from components.choice.histories import Histories
from components.choice.next_movie import GATES

_TAUS = (1.0, 5.0, 25.0)  # choices after which a movie of a history counts for 1/e
_SHRINKAGE = 10.0  # choices, of the whole history's sum
_PARTS = len(_TAUS) + 1
_USERS = 12  # of a step; their histories' vectors are in memory together
_CHOICES = 100  # of a user in a step, at most
_LOGITS = 8_000_000  # of a step, at most, unless a single choice has more
_SORTED_STEPS = 8  # whose users are put together by the length of their histories, so that less is padding
_DROPOUT = 0.1  # of a history's movies
_L2 = 1e-6
_WARM_UP = 100  # steps
_LAST_RATE = 0.02  # of the learning rate, at the end


class Batch(NamedTuple):
    """Some choices of b users, at most p of a user."""

    history: tf.Tensor  # int32[b, t], movies by number in the order of choice, -1 for padding
    kept: tf.Tensor  # float32[b, t], 0 where a movie is left out or padding, else 1 / the share that is kept
    places: tf.Tensor  # int32[b, p], where in the history the choices are
    valid: tf.Tensor  # bool[b, p], False for padding
    gates: tf.Tensor  # int32[b, p], 1 after a pause, else 0
    chosen_at: tf.Tensor  # int32[b, movies], each movie's place in the history; beyond all, if it has none


class ChoiceNetwork(keras.layers.Layer):
    """A softmax factorization of a user's next movie.

    Formula:
        P(i | u, g) ~ exp(<p_ug, q_i> + b_i) over the movies that u has not chosen yet, with
        p_ug = start_g + sum of the vectors of u's other fields
               + sum over tau of a_g,tau * sum over j of exp(-(j - 1) / tau) e_tau[m_j]
               + a_g,all * (sum over j of e_all[m_j]) / sqrt(n + 10),
        where m_1 is the user's latest movie, and g is 1 after a pause, else 0; * is by element.

    Args:
        counts: float[movies], how often each has been chosen.
        fields: Number of indices of each other field of a user, by name.
        dim: Dimensions of the vectors.
        rng: Source of the initial weights.
    """

    def __init__(
        self, counts: np.ndarray, fields: Mapping[str, int], dim: int, rng: np.random.Generator
    ) -> None:
        super().__init__()
        movies = len(counts)
        rarity = np.log((counts + 1) / counts.sum())
        self.dim = dim
        self.past = self._weight("past", rng.normal(0, 0.05 / np.sqrt(dim), (movies, _PARTS * dim)))
        self.share = self._weight("share", np.ones((GATES, _PARTS, dim)))
        self.start = self._weight("start", np.zeros((GATES, dim)))
        self.effects = {name: self._weight(name, np.zeros((rows, dim))) for name, rows in fields.items()}
        self.movie = self._weight("movie", rng.normal(0, 0.1, (movies, dim)))
        self.bias = self._weight("bias", rarity - rarity.mean())

    def states(self, history: tf.Tensor, kept: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Sum up histories, as they were at some places.

        Args:
            history: As in `Batch`.
            kept: As in `Batch`.
            places: int32[b, p], how many choices came before.

        Returns:
            float32[b, p, parts, dim].
        """
        ago = places[:, :, None] - 1 - tf.range(tf.shape(history)[1])[None, None, :]
        before = tf.cast(ago >= 0, tf.float32) * kept[:, None, :]
        since = tf.cast(tf.maximum(ago, 0), tf.float32)
        weights = [before * tf.exp(-since / tau) for tau in _TAUS]
        weights.append(before / tf.sqrt(tf.reduce_sum(before, axis=-1, keepdims=True) + _SHRINKAGE))
        embedded = tf.gather(self.past, tf.maximum(history, 0))
        parts = tf.split(embedded, _PARTS, axis=-1)
        return tf.stack(
            [tf.matmul(weight, part) for weight, part in zip(weights, parts, strict=True)], axis=2
        )

    def vectors(self, states: tf.Tensor, gates: tf.Tensor, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return users' vectors, float32[n, dim], of states [n, parts, dim] and int32[n] each."""
        vectors = tf.reduce_sum(states * tf.gather(self.share, gates), axis=1) + tf.gather(self.start, gates)
        return tf.add_n([vectors, *(tf.gather(self.effects[name], index) for name, index in fields.items())])

    def losses(self, batch: Batch, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the negative log likelihood of the batch's choices.

        Args:
            batch: Some choices of b users.
            fields: int64[b] each.

        Returns:
            float32[n], of n choices in all.
        """
        where = tf.where(batch.valid)
        row, place = where[:, 0], tf.gather_nd(batch.places, where)
        vectors = self.vectors(
            tf.gather_nd(self.states(batch.history, batch.kept, batch.places), where),
            tf.gather_nd(batch.gates, where),
            {name: tf.gather(index, row) for name, index in fields.items()},
        )
        logits = tf.matmul(vectors, self.movie, transpose_b=True) + self.bias
        logits = tf.where(tf.gather(batch.chosen_at, row) < place[:, None], -1e9, logits)
        target = tf.gather_nd(batch.history, tf.stack([tf.cast(row, tf.int32), place], axis=1))
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=logits)

    def penalty(self) -> tf.Tensor:
        """Return the penalty on large weights."""
        return _L2 * tf.add_n([tf.nn.l2_loss(w) for w in (self.past, self.movie, *self.effects.values())])

    def _weight(self, name: str, value: np.ndarray) -> keras.Variable:
        return self.add_weight(
            name=name, shape=value.shape, initializer=lambda shape, dtype: tf.constant(value, dtype)
        )


def train(
    histories: Histories,
    counts: np.ndarray,
    fields: Mapping[str, tuple[int, np.ndarray]],
    *,
    dim: int,
    epochs: int,
    learning_rate: float,
    rng: np.random.Generator,
    on_epoch: Callable[[int, float], None],
) -> ChoiceNetwork:
    """Train a network on histories.

    Args:
      histories: to learn from; at least one user has one.
      counts: int[movies], how often each was chosen.
      fields: number of indices, and each user's, int64[users], of each other field of a user by name.
      dim: dimensions of the vectors.
      epochs: how often each user is looked at; of long histories some choices, others each time.
      learning_rate: of Adam at its highest.
      rng: source of all chance.
      on_epoch: gets the number of the epoch, from 1 on, and its mean loss.
    """
    network = ChoiceNetwork(counts, {name: rows for name, (rows, _) in fields.items()}, dim, rng)
    index = {name: values for name, (_, values) in fields.items()}
    users = np.flatnonzero(histories.counts)
    steps = epochs * -(-len(users) // _USERS)
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(
            0.0,
            max(1, steps - _WARM_UP),
            alpha=_LAST_RATE,
            warmup_target=learning_rate,
            warmup_steps=min(_WARM_UP, steps),
        ),
        beta_2=0.995,
    )
    optimizer.build(network.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(batch: Batch, of_user: Mapping[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = network.losses(batch, of_user)
            # Over the places, not the choices: users with short histories come together in a step, and a
            # choice of theirs is to count for no more than another.
            loss = tf.reduce_sum(losses) / tf.cast(tf.size(batch.valid), tf.float32) + network.penalty()
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return losses

    for epoch in range(1, epochs + 1):
        losses = []
        for some in _batches(users, histories.counts, rng):
            batch = _batch(histories, some, len(counts), rng)
            losses.append(step(batch, {name: tf.constant(values[some]) for name, values in index.items()}))
        on_epoch(epoch, float(np.concatenate(losses).mean()))
    return network


def histories_of_all(network: ChoiceNetwork, histories: Histories) -> np.ndarray:
    """Return what each user's whole history adds to the user's vectors, float32[users, gates, dim]."""
    users = len(histories.counts)
    added = np.zeros((users, GATES, network.dim), np.float32)
    by_length = np.argsort(histories.counts, kind="stable")
    for first in range(0, users, _USERS):
        some = by_length[first : first + _USERS]
        movies = histories.padded(some)
        states = network.states(
            movies, (movies >= 0).astype(np.float32), histories.counts[some, None].astype(np.int32)
        )
        added[some] = np.einsum("nsk,gsk->ngk", states[:, 0].numpy(), network.share.numpy())
    return added


def _batches(users: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return all users in random groups, each of users with histories of about the same length."""
    users = rng.permutation(users)
    batches = []
    for first in range(0, len(users), _SORTED_STEPS * _USERS):
        some = users[first : first + _SORTED_STEPS * _USERS]
        some = some[np.argsort(counts[some], kind="stable")]
        batches += [some[i : i + _USERS] for i in range(0, len(some), _USERS)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _batch(histories: Histories, users: np.ndarray, movies: int, rng: np.random.Generator) -> Batch:
    """Return choices of some users, others each time of those who have many."""
    counts = histories.counts[users]
    most = max(1, min(_CHOICES, _LOGITS // (_USERS * movies)))
    history = histories.padded(users)
    kept = ((history >= 0) & (rng.random(history.shape) >= _DROPOUT)).astype(np.float32)
    kept /= 1 - _DROPOUT  # so that a sum is expected to be that of the whole history, which is served
    places, gates = np.zeros((2, len(users), most), np.int32)
    chosen_at = np.full((len(users), movies), history.shape[1], np.int32)
    for row, (user, n) in enumerate(zip(users, counts, strict=True)):
        some = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
        places[row, : len(some)] = some
        gates[row, : len(some)] = histories.paused[histories.of_user[user] + some]
        chosen_at[row, history[row, :n]] = np.arange(n)
    valid = np.arange(most) < np.minimum(counts, most)[:, None]
    return Batch(history, kept, places, valid, gates, chosen_at)
