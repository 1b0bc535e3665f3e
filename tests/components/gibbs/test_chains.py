import numpy as np
import pytest

from components.gibbs.chains import Chains, parted
from components.gibbs.means import Means
from tests.components.gibbs.test_sampler import chain


@pytest.fixture(scope="module")
def chains(world):
    sampled = Chains([chain(world, seed=seed) for seed in (1, 2, 3)])
    for _ in range(3):
        sampled.sweep()
    return sampled


def said(users, movies):
    """What vectors say of each pair, without mean and drift."""
    return users[:, :-1] @ movies[:, :-1].T + users[:, -1:] + movies[:, -1]


def test_the_vectors_say_the_mean_of_what_each_chain_says(chains):
    each = np.mean([said(own.users.mean, own.movies.mean) for own in chains.each], axis=0)
    assert chains.user_means.shape[1] == 3 * 2 + 1
    np.testing.assert_allclose(said(chains.user_means, chains.movie_means), each, atol=1e-5)
    drawn = np.mean([said(own.users.mean, own.movies.sample) for own in chains.each], axis=0)
    np.testing.assert_allclose(said(chains.user_means, chains.movie_samples), drawn, atol=1e-5)


def test_drift_is_the_mean_of_the_chains(chains):
    first, second, third = (own.drift for own in chains.each)
    levels = (first.means + second.means + third.means) / 3
    np.testing.assert_allclose(chains.levels, levels[:, chains.ratings.cells])
    assert chains.slope == pytest.approx((first.slope_mean + second.slope_mean + third.slope_mean) / 3)
    assert len({first.slope_mean, second.slope_mean, third.slope_mean}) == 3
    of_three = [first.stage_means, second.stage_means, third.stage_means]
    np.testing.assert_allclose(chains.stages, np.mean(of_three, axis=0))
    assert np.ptp(of_three, axis=0)[0] > 0


def test_residuals_are_those_of_each(chains):
    np.testing.assert_array_equal(chains.residuals, [own.residuals for own in chains.each])


def test_a_model_gives_each_chain_its_vectors_back(chains):
    for own, back in zip(chains.each, parted(chains.user_means, 3), strict=True):
        np.testing.assert_allclose(back[:, :-1], own.users.mean[:, :-1], rtol=1e-5)
        np.testing.assert_array_equal(back[:, -1], chains.user_means[:, -1])


def test_the_mean_over_sweeps_is_over_all_chains(chains):
    means = Means()
    means.add(chains)
    np.testing.assert_allclose(means.users, chains.user_means, rtol=1e-6)
    np.testing.assert_allclose(means.movies, chains.movie_means, rtol=1e-6)
    np.testing.assert_allclose(means.levels, chains.levels, rtol=1e-5)
    assert means.slope == pytest.approx(chains.slope)
    np.testing.assert_allclose(means.stages, chains.stages, rtol=1e-5)
