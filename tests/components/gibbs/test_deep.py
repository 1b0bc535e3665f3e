import types

import keras
import numpy as np
import pytest

from components.deepfm.config import DeepFMConfig
from components.deepfm.fields import CategoricalField
from components.deepfm.model import build_model, deep_part
from components.gibbs.chains import Chains
from components.gibbs.config import GibbsConfig
from components.gibbs.deep import DeepPart, inputs
from components.gibbs.moments import Moments
from components.gibbs.prior import SideFeatures
from components.gibbs.sampler import Chain, first_vectors
from components.gibbs.sides import Side
from tests.components.gibbs.conftest import MOVIES, USERS

SWEEPS = 60


FIELDS = [
    CategoricalField(name="uid", index_name="uid_index", vocabulary_size=USERS),
    CategoricalField(name="mid", index_name="mid_index", vocabulary_size=MOVIES),
]


def build(chains):
    """A model of two dimensions a chain."""
    config = DeepFMConfig(
        architecture="two_sided",
        categorical=("uid", "mid"),
        numeric=(),
        embedding_dim=2 * chains,
        chains=chains,
        hidden_units=(16,),
        dropout_rate=0.0,
        embedding_l2=0.0,
        oov_dropout_rate=0.0,
        drift_seconds=(3_000_000.0,),
    )
    return build_model(config, FIELDS, [], 3.5, 0)


@pytest.fixture
def model():
    return build(chains=1)


def drawn(ratings, users, movies, residuals=0.0):
    """What a chain is to the deep part, with these vectors."""
    tables = [
        types.SimpleNamespace(sample=t, mean=t) for t in (users.astype("float32"), movies.astype("float32"))
    ]
    left = np.broadcast_to(np.float32(residuals), len(ratings))
    return types.SimpleNamespace(ratings=ratings, users=tables[0], movies=tables[1], residuals=left)


def train(world, model, ratings):
    rng = np.random.default_rng(0)
    chain = Chain(
        Moments.of(ratings, (3_000_000.0,)),
        user_features=SideFeatures.of([np.zeros((USERS, 0))], ratings.user_counts > 0),
        movie_features=SideFeatures.of([np.zeros((MOVIES, 0))], ratings.movie_counts > 0),
        user_vectors=first_vectors(USERS, 2, rng),
        movie_vectors=first_vectors(MOVIES, 2, rng),
        rating_mean=3.5,
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
    users, movies = (rng.normal(size=(rows, 3)) for rows in (USERS, MOVIES))
    left = 0.5 * np.abs(users[ratings.user, 0] - movies[ratings.movie, 0])
    chain = drawn(ratings, users, movies, left)
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


@pytest.mark.parametrize("chains", [1, 2])
def test_its_inputs_are_those_of_the_model(world, chains):
    rng = np.random.default_rng(3)
    ratings, rows = world.ratings(), np.arange(9)
    each = [drawn(ratings, *(rng.normal(size=(n, 3)) for n in (USERS, MOVIES))) for _ in range(chains)]
    model = build(chains)
    joined = Chains(each)
    for name, field, vectors in (
        ("user", FIELDS[0], joined.user_means),
        ("movie", FIELDS[1], joined.movie_means),
    ):
        Side(name, field, [], [], np.zeros((len(vectors), 0), np.float32)).assign(
            model, vectors, np.ones(len(vectors), bool)
        )
    seen = keras.Model(model.input, model.get_layer("sides").output)(
        {
            "uid_index": ratings.user[rows] + 1,
            "mid_index": ratings.movie[rows] + 1,
            "timestamp": ratings.time[rows],
        }
    )
    values = inputs(each[0], rows, chains)
    np.testing.assert_allclose(values[:, :4], seen[:, :4], rtol=1e-5)
    # Biases and second-order term of all chains, where training sees those of the first.
    of_all = np.mean([inputs(chain, rows, chains)[:, 4:] for chain in each], axis=0)
    np.testing.assert_allclose(of_all, seen[:, 4:], rtol=1e-4, atol=1e-6)


def test_an_input_that_does_not_vary_is_not_scaled(world, model):
    rng = np.random.default_rng(4)
    ratings = world.ratings()
    movies = np.broadcast_to(rng.normal(size=3), (MOVIES, 3))
    users = rng.normal(size=(USERS, 3))
    chain = drawn(ratings, users, movies)
    DeepPart(model, 1, GibbsConfig(deep_batch_size=256), SWEEPS, rng).train(chain)
    scale = model.get_layer("deep_normalization")
    np.testing.assert_array_equal(scale.moving_variance[2:4], [1, 1])
    np.testing.assert_allclose(scale.moving_mean[2:4], movies[0, :2], rtol=1e-5)
    np.testing.assert_allclose(scale.moving_variance[:2], users[ratings.user, :2].var(axis=0), rtol=0.1)
