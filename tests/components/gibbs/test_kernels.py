import numba
import numpy as np
import pytest

from components.gibbs.kernels import interactions, sample_paths, sample_rows

RNG = np.random.default_rng(3)
OFFSETS = np.array([0, 4, 4, 9])  # the second row has no rating
OTHERS = RNG.integers(0, 5, 9).astype(np.int32)
RESIDUALS = RNG.normal(size=9).astype(np.float32)
PRECISIONS = RNG.uniform(0.5, 2, 9).astype(np.float32)
FACTORS = RNG.normal(size=(5, 3)).astype(np.float32)
PRIOR_MEANS = RNG.normal(size=(3, 3))
PRIOR_PRECISION = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]])


def rows(noise):
    mean, sample = np.empty((3, 3), np.float32), np.empty((3, 3), np.float32)
    sample_rows(
        OFFSETS,
        OTHERS,
        RESIDUALS,
        PRECISIONS,
        FACTORS,
        PRIOR_MEANS,
        PRIOR_PRECISION,
        noise,
        mean,
        sample,
    )
    return mean, sample


def posterior(row):
    part = slice(OFFSETS[row], OFFSETS[row + 1])
    x = FACTORS[OTHERS[part]].astype(float)
    precision = PRIOR_PRECISION + x.T @ (PRECISIONS[part, None] * x)
    pull = PRIOR_PRECISION @ PRIOR_MEANS[row] + x.T @ (PRECISIONS[part] * RESIDUALS[part])
    return np.linalg.solve(precision, pull), precision


def test_rows_have_the_mean_of_bayesian_linear_regression():
    mean, sample = rows(np.zeros((3, 3)))
    np.testing.assert_allclose(mean, [posterior(row)[0] for row in range(3)], rtol=1e-5)
    np.testing.assert_array_equal(sample, mean)
    np.testing.assert_allclose(mean[1], PRIOR_MEANS[1], rtol=1e-6)  # nothing but the prior


def test_rows_have_its_covariance():
    draws = np.stack([rows(unit)[1] - rows(np.zeros((3, 3)))[1] for unit in np.eye(3)[:, None].repeat(3, 1)])
    for row in range(3):
        # The draws of unit noise are the columns of a root of the covariance.
        root = draws[:, row].T.astype(float)
        np.testing.assert_allclose(root @ root.T, np.linalg.inv(posterior(row)[1]), rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(numba.get_num_threads() == 1, reason="there is one core")
def test_rows_do_not_depend_on_the_threads():
    noise = RNG.normal(size=(3, 3))
    before = numba.get_num_threads()
    several = rows(noise)
    numba.set_num_threads(1)
    one = rows(noise)
    numba.set_num_threads(before)
    np.testing.assert_array_equal(several, one)


def test_interactions():
    users = np.array([[1, 2, 0.5], [3, -1, 0.25]], np.float32)
    movies = np.array([[1, 1, -1], [0, 2, 0.125]], np.float32)
    out = np.empty(3, np.float32)
    interactions(users, movies, np.array([0, 1, 1], np.int32), np.array([0, 0, 1], np.int32), out)
    np.testing.assert_array_equal(out, [1 + 2 + 0.5 - 1, 3 - 1 + 0.25 - 1, -2 + 0.25 + 0.125])


SECONDS, VARIANCE = 60.0, 0.4
TIMES = np.array([0, 0, 30, 31, 500, 5, 65])
OF_USER = np.array([0, 5, 5, 7])
DECAYS = np.exp(-np.array([np.inf, 0, 30, 1, 469, np.inf, 60]) / SECONDS)


def paths(noise):
    mean, sample = np.empty(7), np.empty(7)
    residuals = RESIDUALS[:7].astype(np.float64)
    sample_paths(OF_USER, DECAYS, residuals, PRECISIONS[:7], VARIANCE, noise, mean, sample)
    return mean, sample


def process(part):
    """The posterior mean and covariance of a Gaussian process at its observations."""
    prior = VARIANCE * np.exp(-np.abs(TIMES[part, None] - TIMES[None, part]) / SECONDS)
    gain = prior @ np.linalg.inv(prior + np.diag(1 / PRECISIONS[part].astype(float)))
    return gain @ RESIDUALS[part], prior - gain @ prior


@pytest.mark.parametrize("part", [slice(0, 5), slice(5, 7)])
def test_paths_are_those_of_gaussian_process_regression(part):
    mean, sample = paths(np.zeros(7))
    np.testing.assert_allclose(mean[part], process(part)[0], rtol=1e-6)
    np.testing.assert_array_equal(sample, mean)
    root = np.stack([paths(unit)[1][part] - mean[part] for unit in np.eye(7)[part]], axis=1)
    np.testing.assert_allclose(root @ root.T, process(part)[1], atol=1e-6)
