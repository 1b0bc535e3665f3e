import numpy as np
import pytest

from components.choice.next_movie import NEVER
from components.choice.order import fit_order
from components.deepfm.fields import CategoricalField
from schema import features

USERS, MOVIES = 12, 9
TIME = 978_300_000
FIELDS = [
    CategoricalField(name=feature.name, index_name=feature.index_name, vocabulary_size=size)
    for feature, size in (
        (features.UID, USERS),
        (features.MID, MOVIES),
        (features.GENRES, 4),  # of movies: not for the order
        (features.GENDER, 2),
    )
]


@pytest.fixture(scope="module")
def columns():
    """Each user but the last has rated five movies, a second apart."""
    rng = np.random.default_rng(2)
    user = np.repeat(np.arange(USERS - 1), 5)
    movie = np.concatenate([rng.permutation(MOVIES)[:5] for _ in range(USERS - 1)])
    return {
        features.UID.index_name: user + 1,
        features.MID.index_name: movie + 1,
        features.GENDER.index_name: 1 + user % 2,
        features.TIMESTAMP.name: TIME + np.tile(np.arange(5), USERS - 1) + user,
    }


def fit(columns, seed=0):
    said = []
    order = fit_order(
        columns,
        FIELDS,
        dim=3,
        epochs=20,
        learning_rate=0.1,
        rating_weight=1.0,
        rng=np.random.default_rng(seed),
        on_epoch=lambda epoch, loss: said.append((epoch, loss)),
    )
    assert [epoch for epoch, _ in said] == list(range(1, 21))
    assert said[0][1] > said[-1][1] + 0.01
    return order


@pytest.fixture(scope="module")
def order(columns):
    return fit(columns)


def score(order, **changes):
    """The score of a user, a movie and a moment, with some of the inputs changed."""
    values = {
        features.UID.index_name: 3,
        features.MID.index_name: 4,
        features.GENDER.index_name: 1,
        features.TIMESTAMP.name: TIME,
        features.RATING.name: 3.0,
    } | changes
    return float(order({name: np.array([values[name]]) for name in order.input})[0])


def test_reads_the_ids_the_fields_of_the_user_the_moment_and_the_rating(order):
    assert set(order.input) == {
        features.UID.index_name,
        features.MID.index_name,
        features.GENDER.index_name,
        features.TIMESTAMP.name,
        features.RATING.name,
    }


def test_a_star_more_counts_as_much_as_is_said(order):
    assert score(order, rating=4.0) - score(order) == pytest.approx(1, abs=1e-5)


def test_tables_are_in_the_order_of_the_vocabularies(order):
    layer = order.get_layer("next_movie")
    rated = np.arange(USERS - 1)
    assert layer.last.numpy().tolist() == [NEVER, *(TIME + 4 + rated), NEVER, NEVER]
    silent = np.flatnonzero(~layer.history.numpy().any(axis=1))
    assert silent.tolist() == [0, USERS, USERS + 1]  # padding, who has not rated, unknown


def test_an_unknown_user_is_a_gender_and_no_more(order):
    layer, unknown = order.get_layer("next_movie"), USERS + 1
    vector = layer.start.numpy()[0] + layer.effects[features.GENDER.index_name].numpy()[2]
    expected = vector @ layer.movie.numpy()[4] + layer.bias.numpy()[4] + 3
    for time in (features.MISSING_INT, TIME + 90_000):
        said = score(order, uid_index=unknown, gender_index=2, timestamp=time)
        assert said == pytest.approx(expected, abs=1e-5)


def test_an_unknown_movie_stands_in_the_middle(order):
    known = [score(order, mid_index=movie) for movie in range(1, MOVIES + 1)]
    for unknown in (0, MOVIES + 1):
        assert score(order, mid_index=unknown) == pytest.approx(np.mean(known), abs=1e-5)


def test_a_return_has_an_order_of_its_own(order):
    at_once, late, missing = (score(order, timestamp=t) for t in (TIME + 6 + 3600, TIME + 7 + 3600, -1))
    assert at_once == score(order)
    assert late == missing
    assert abs(late - at_once) > 1e-4


def test_the_same_seed_gives_the_same_order_and_another_another(order, columns):
    for one, two in zip(order.get_weights(), fit(columns).get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert abs(score(fit(columns, seed=1)) - score(order)) > 1e-3
