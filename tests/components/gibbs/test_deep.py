import types

import numpy as np
import pytest

from components.deepfm.config import DeepFMConfig
from components.deepfm.fields import CategoricalField
from components.deepfm.model import build_model, deep_part
from components.gibbs.config import GibbsConfig
from components.gibbs.deep import DeepPart, inputs
from components.gibbs.sampler import Chain, first_vectors
from tests.components.gibbs.conftest import MOVIES, USERS

SWEEPS = 60


@pytest.fixture
def model():
    return build_model(
        DeepFMConfig(
            architecture="two_sided",
            categorical=("uid", "mid"),
            numeric=(),
            embedding_dim=2,
            hidden_units=(16,),
            dropout_rate=0.0,
            embedding_l2=0.0,
            oov_dropout_rate=0.0,
            drift_seconds=(3_000_000.0,),
        ),
        [
            CategoricalField(name="uid", index_name="uid_index", vocabulary_size=USERS),
            CategoricalField(name="mid", index_name="mid_index", vocabulary_size=MOVIES),
        ],
        [],
        3.5,
        0,
    )


def train(world, model, ratings):
    rng = np.random.default_rng(0)
    chain = Chain(
        ratings,
        user_features=np.zeros((USERS, 0), np.float32),
        movie_features=np.zeros((MOVIES, 0), np.float32),
        user_vectors=first_vectors(USERS, 2, rng),
        movie_vectors=first_vectors(MOVIES, 2, rng),
        rating_mean=3.5,
        drift_seconds=(3_000_000.0,),
        rng=rng,
    )
    config = GibbsConfig(deep_share=1.0, deep_batch_size=256, deep_learning_rate=0.01)
    deep = DeepPart(model, 1, config, SWEEPS, rng)
    for sweep in range(20 + SWEEPS):
        chain.sweep()
        if sweep >= 20:
            deep.train(chain)
    deep.finish()
    said = np.asarray(deep_part(model)(inputs(chain, np.arange(len(ratings)), chains=1)))[:, 0]
    return chain, said


def test_finds_what_the_factorization_machine_cannot_say(world, model):
    rng = np.random.default_rng(1)
    ratings = world.ratings()
    drawn = [rng.normal(size=(rows, 3)).astype(np.float32) for rows in (USERS, MOVIES)]
    left = 0.5 * np.abs(drawn[0][ratings.user, 0] - drawn[1][ratings.movie, 0])
    chain = types.SimpleNamespace(
        ratings=ratings,
        users=types.SimpleNamespace(sample=drawn[0]),
        movies=types.SimpleNamespace(sample=drawn[1]),
        residuals=left.astype(np.float32),
    )
    config = GibbsConfig(deep_share=1.0, deep_batch_size=256, deep_learning_rate=0.01)
    deep = DeepPart(model, 1, config, SWEEPS, rng)
    for _ in range(SWEEPS):
        deep.train(chain)
    deep.finish()
    said = np.asarray(deep_part(model)(inputs(chain, np.arange(len(ratings)), chains=1)))[:, 0]
    assert 1 - np.var(left - said) / np.var(left) > 0.95


def test_finds_next_to_nothing_where_there_is_nothing(world, model):
    chain, said = train(world, model, world.ratings())
    assert np.std(said) < 0.35 * np.std(chain.residuals)


def test_its_inputs_have_the_order_of_the_model(world, model):
    chain, _ = train(world, model, world.ratings())
    values = inputs(chain, np.array([3, 8]), chains=1)
    user, movie = (
        chain.users.sample[chain.ratings.user[[3, 8]]],
        chain.movies.sample[chain.ratings.movie[[3, 8]]],
    )
    assert values.shape == (2, 7)
    np.testing.assert_array_equal(values[:, :2], user[:, :2])
    np.testing.assert_array_equal(values[:, 2:4], movie[:, :2])
    np.testing.assert_array_equal(values[:, 4:6], np.stack([user[:, 2], movie[:, 2]], axis=1))
    np.testing.assert_allclose(values[:, 6], np.sum(user[:, :2] * movie[:, :2], axis=1), rtol=1e-6)
    of_four = inputs(chain, np.array([3, 8]), chains=4)
    np.testing.assert_allclose(of_four[:, :4], values[:, :4] / 2, rtol=1e-6)
    np.testing.assert_array_equal(of_four[:, 4:], values[:, 4:])
