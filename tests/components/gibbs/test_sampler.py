import numpy as np
import pytest

from components.gibbs.chains import Chains
from components.gibbs.means import Means
from components.gibbs.moments import Moments
from components.gibbs.prior import SideFeatures
from components.gibbs.sampler import Chain, first_vectors
from tests.components.gibbs.conftest import MOVIES, NOISE, RATINGS, USERS

TRAINED_ON = slice(0, 1300)


def chain(world, seed=0, rows=TRAINED_ON):
    rng = np.random.default_rng(seed)
    ratings = world.ratings(rows)
    return Chain(
        Moments.of(ratings, (3_000_000.0,)),
        user_features=SideFeatures.of([np.zeros((USERS, 0))], ratings.user_counts > 0),
        movie_features=SideFeatures.of([np.zeros((MOVIES, 0))], ratings.movie_counts > 0),
        user_vectors=first_vectors(USERS, 2, rng),
        movie_vectors=first_vectors(MOVIES, 2, rng),
        rating_mean=3.5,
        rng=rng,
    )


@pytest.fixture(scope="module")
def found(world):
    sampled, means = chain(world), Means()
    for sweep in range(150):
        sampled.sweep()
        if sweep >= 50:
            means.add(Chains([sampled]))
    return sampled, means


def test_predicts_what_it_has_not_seen(world, found):
    _, means = found
    users, movies = means.users[world.user], means.movies[world.movie]
    said = 3.5 + users[:, -1] + movies[:, -1] + np.sum(users[:, :-1] * movies[:, :-1], axis=1)
    errors = (said - world.truth)[1300:]
    baseline = np.std(world.truth[1300:])
    assert np.sqrt(np.mean(errors**2)) < 0.25 * baseline


def test_knows_the_noise(found):
    sampled, _ = found
    assert np.sqrt(1 / sampled.noise_precisions.mean()) == pytest.approx(NOISE, rel=0.15)


def test_residuals_are_what_is_left(world, found):
    sampled, _ = found
    ratings = sampled.ratings
    users, movies = sampled.users.sample[ratings.user], sampled.movies.sample[ratings.movie]
    said = 3.5 + users[:, -1] + movies[:, -1] + np.sum(users[:, :-1] * movies[:, :-1], axis=1)
    np.testing.assert_allclose(ratings.rating - said - sampled.drifts, sampled.residuals, atol=1e-5)


def test_a_seed_gives_the_same_chain(world):
    first, again, other = chain(world), chain(world), chain(world, seed=1)
    for sampled in (first, again, other):
        for _ in range(3):
            sampled.sweep()
    np.testing.assert_array_equal(first.users.sample, again.users.sample)
    np.testing.assert_array_equal(first.drifts, again.drifts)
    assert not np.array_equal(first.users.sample, other.users.sample)


def test_users_and_movies_without_a_rating_are_drawn_from_the_prior(world):
    sampled = chain(world, rows=np.flatnonzero((world.user != 5) & (world.movie != 6)))
    for _ in range(5):
        sampled.sweep()
    assert sampled.ratings.user_counts[5] == sampled.ratings.movie_counts[6] == 0
    assert np.isfinite(sampled.users.sample).all()
    assert np.isfinite(sampled.movies.sample).all()
    assert len(sampled.ratings) < RATINGS
