import numpy as np
import pytest

from components.deepfm.user_drift import UserDrift
from components.gibbs.means import assign_drift, place_drift, predict
from tests.components.gibbs.conftest import USERS
from tests.components.gibbs.test_sampler import chain


@pytest.fixture(scope="module")
def sampled(world):
    sampled = chain(world, rows=np.flatnonzero(world.user != 5)[:1000])
    for _ in range(3):
        sampled.sweep()
    return sampled


def test_what_is_served_at_a_rating_is_the_drift_of_the_chain_there(sampled):
    ratings, drift = sampled.ratings, sampled.drift
    layer = UserDrift(2 + USERS, 1 + len(ratings.cells), sampled.moments.seconds)
    layer.build([(None,), (None,)])
    place_drift(layer, ratings)
    assign_drift(layer, sampled.moments, drift.means[:, ratings.cells], drift.slope, drift.stages)
    stages = drift.stages[sampled.moments.stage]
    assert np.std(stages) > 0.01
    expected = drift.means.sum(axis=0) + drift.slope * sampled.moments.tenure + stages
    assert np.std(expected) > 0.01
    found = np.ravel(layer([1 + ratings.user, ratings.time]))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    now, end = (np.ravel(layer([1 + np.arange(USERS), np.full(USERS, t)])) for t in (-1, ratings.time.max()))
    np.testing.assert_array_equal(now, end)
    assert now[5] == 0  # has rated nothing


def test_predict():
    users = np.array([[1, 2, 0.5], [3, -1, 0.25]], np.float32)
    movies = np.array([[1, 1, -1], [0, 2, 0.125]], np.float32)
    said = predict(users, movies, np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([[0.5], [0], [1]]))
    assert said.tolist() == [1 + 2 + 0.5 - 1 + 0.5, 3 - 1 + 0.25 - 1, -2 + 0.25 + 0.125 + 1]
