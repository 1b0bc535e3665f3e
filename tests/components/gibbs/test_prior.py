import numpy as np
import pytest

from components.gibbs.prior import Prior, SideFeatures

ROWS = 4000
EFFECTS = np.array([[0.5, -0.2], [0.0, 0.3], [-0.4, 0.0]])
MEAN = np.array([0.2, -0.1])
COVARIANCE = np.array([[0.04, 0.01], [0.01, 0.02]])


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(ROWS, 3)).astype(np.float32)
    noise = rng.multivariate_normal([0, 0], COVARIANCE, ROWS)
    vectors = (MEAN + features @ EFFECTS + noise).astype(np.float32)
    known = np.arange(ROWS) < ROWS - 100
    vectors[~known] = 1000  # must not matter
    prior = Prior(SideFeatures.of([features], known), 2, rng)
    for _ in range(20):
        prior.draw(vectors)
    return features, [prior.draw(vectors) for _ in range(50)]


def test_learns_what_features_say(draws):
    features, found = draws
    means = np.mean([draw.means for draw in found], axis=0)
    np.testing.assert_allclose(means, MEAN + features @ EFFECTS, atol=0.03)


def test_learns_how_far_vectors_are_apart(draws):
    _, found = draws
    covariance = np.linalg.inv(np.mean([draw.precision for draw in found], axis=0))
    np.testing.assert_allclose(covariance, COVARIANCE, rtol=0.1, atol=1e-3)


def test_draws_differ_as_much_as_they_are_uncertain(draws):
    _, found = draws
    spread = np.std([draw.means for draw in found], axis=0)
    # The standard error of a regression with 4 coefficients, on average over its own rows.
    expected = np.sqrt(4 * np.diag(COVARIANCE) / ROWS)
    np.testing.assert_allclose(np.sqrt(np.mean(spread**2, axis=0)), expected, rtol=0.25)


def test_without_features_and_without_rows():
    features = SideFeatures.of([np.zeros((3, 0), np.float32)], np.zeros(3, bool))
    drawn = Prior(features, 2, np.random.default_rng(0)).draw(np.zeros((3, 2), np.float32))
    assert drawn.means.shape == (3, 2)
    assert np.isfinite(drawn.precision).all()
