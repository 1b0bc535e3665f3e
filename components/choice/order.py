"""The order of a user's movies, learned from who chose what when."""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from components.choice.histories import Histories
from components.choice.next_movie import NextMovie
from components.choice.training import ChoiceNetwork, histories_of_all, train
from components.deepfm.fields import CategoricalField
from components.deepfm.user_drift import NEVER
from schema import features

PAUSE_SECONDS = 3600  # after which a user comes back, and no longer goes through one page of movies

_NEXT_MOVIE = "next_movie"


def fit_order(
    columns: Mapping[str, np.ndarray],
    categorical: Sequence[CategoricalField],
    *,
    dim: int,
    epochs: int,
    learning_rate: float,
    rating_weight: float,
    rng: np.random.Generator,
    on_epoch: Callable[[int, float], None],
) -> keras.Model:
    """Learn from ratings, whatever their stars, which movie comes next.

    Args:
      columns: transformed features by name, [n, ...] each, of ids in the vocabularies.
      categorical: the fields of the rating model; of a user's, one index each.
      dim: dimensions of the vectors.
      epochs: of the training.
      learning_rate: of Adam at its highest.
      rating_weight: as in `NextMovie`.
      rng: source of all chance.
      on_epoch: as in `train`.

    Returns:
      A model of one `NextMovie`. Its inputs, by name, are the indices of user, movie and the user's other
      fields, int64[batch], `timestamp` int64[batch] and the predicted `rating` float32[batch]; its output is
      float32[batch].
    """
    fields = {field.name: field for field in categorical}
    uid, mid = fields[features.UID.name], fields[features.MID.name]
    others = [fields[feature.name] for feature in features.USER_FEATURES if feature.name in fields]
    user, movie = columns[uid.index_name] - 1, columns[mid.index_name] - 1
    histories = Histories.of(
        user=user,
        movie=movie,
        time=columns[features.TIMESTAMP.name],
        users=uid.vocabulary_size,
        pause_seconds=PAUSE_SECONDS,
        rng=rng,
    )
    # One of each user. Who has none has no history either, and nothing is learned from such a user's fields.
    row = np.zeros(uid.vocabulary_size, np.int64)
    row[user] = np.arange(len(user))
    network = train(
        histories,
        np.bincount(histories.movie, minlength=mid.vocabulary_size),
        {field.index_name: (field.rows, columns[field.index_name][row]) for field in others},
        dim=dim,
        epochs=epochs,
        learning_rate=learning_rate,
        rng=rng,
        on_epoch=on_epoch,
    )
    layer = NextMovie(
        uid.rows,
        mid.rows,
        {field.index_name: field.rows for field in others},
        users_input=uid.index_name,
        movies_input=mid.index_name,
        timestamp_input=features.TIMESTAMP.name,
        rating_input=features.RATING.name,
        dim=dim,
        pause_seconds=PAUSE_SECONDS,
        rating_weight=rating_weight,
        name=_NEXT_MOVIE,
    )
    inputs = {
        name: keras.Input((), dtype="int64", name=name)
        for name in (
            uid.index_name,
            mid.index_name,
            *(field.index_name for field in others),
            features.TIMESTAMP.name,
        )
    }
    inputs[features.RATING.name] = keras.Input((), dtype="float32", name=features.RATING.name)
    model = keras.Model(inputs, layer(inputs), name="order")
    _assign(layer, network, histories)
    return model


def _assign(layer: NextMovie, network: ChoiceNetwork, histories: Histories) -> None:
    """Give a layer what was learned; an unknown movie stands in the middle of all."""
    users, movies = len(histories.counts), len(network.bias.numpy())
    history = np.zeros(layer.history.shape, np.float32)
    history[1 : 1 + users] = histories_of_all(network, histories).reshape(users, -1)
    layer.history.assign(history)
    last = np.full(layer.users, NEVER)
    last[1 : 1 + users] = np.where(histories.counts > 0, histories.last, NEVER)
    layer.last.assign(last)
    layer.start.assign(network.start)
    for name, effects in network.effects.items():
        layer.effects[name].assign(effects)
    for weight, learned in ((layer.movie, network.movie), (layer.bias, network.bias)):
        known = learned.numpy()
        values = np.broadcast_to(known.mean(axis=0), weight.shape).copy()
        values[1 : 1 + movies] = known
        weight.assign(values)
