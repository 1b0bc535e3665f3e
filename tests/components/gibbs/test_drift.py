import numpy as np
import pytest

from components.gibbs.drift import Drift
from components.gibbs.moments import Moments
from components.gibbs.ratings import Ratings

USERS, EACH = 150, 60
SECONDS = (600.0, 1_000_000.0)
VARIANCES = (0.09, 0.16)
SLOPE = -0.08
PRECISION = 25.0  # of the noise


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(11)
    n = USERS * EACH
    time = 978_300_000 + np.cumsum(
        rng.exponential(20_000, (USERS, EACH)) * rng.integers(0, 2, (USERS, EACH)), 1
    )
    ratings = Ratings.of(
        user=np.repeat(np.arange(USERS), EACH),
        movie=np.tile(np.arange(EACH), USERS),
        rating=np.zeros(n),
        time=time.ravel(),
        users=USERS + 1,  # one without a rating
        movies=EACH,
    )
    truth = SLOPE * np.log1p((ratings.time - np.repeat(ratings.time[::EACH], EACH)) / 86_400)
    for constant, variance in zip(SECONDS, VARIANCES, strict=True):
        for user in range(USERS):
            part = slice(user * EACH, (user + 1) * EACH)
            apart = np.abs(ratings.time[part, None] - ratings.time[None, part])
            covariance = variance * np.exp(-apart / constant)
            truth[part] += rng.multivariate_normal(np.zeros(EACH), covariance, method="eigh")
    residuals = (truth + rng.normal(size=n) / np.sqrt(PRECISION)).astype(np.float32)
    return Moments.of(ratings, SECONDS), truth, residuals


def test_finds_paths_slope_and_variances(world):
    moments, truth, residuals = world
    drift = Drift(moments, np.random.default_rng(0))
    precisions = np.full(len(moments.ratings), PRECISION, np.float32)
    means, slopes, variances = 0.0, [], []
    for sweep in range(150):
        drift.draw(residuals, precisions)
        if sweep >= 50:
            means = means + (drift.means.sum(axis=0) + drift.slope * moments.tenure) / 100
            slopes.append(drift.slope)
            variances.append(list(drift.variances))
    assert np.mean(slopes) == pytest.approx(SLOPE, abs=0.06)
    np.testing.assert_allclose(np.mean(variances, axis=0), VARIANCES, rtol=0.25)
    error = np.sqrt(np.mean((means - truth) ** 2))
    assert error < 0.13  # the noise has 0.2, the drift itself 0.55


def test_finds_variances_in_loud_noise_soon(world):
    moments, truth, _ = world
    noise = np.random.default_rng(3).normal(size=len(moments.ratings))
    drift = Drift(moments, np.random.default_rng(0))
    variances = []
    for _ in range(60):
        drift.draw((truth + noise).astype(np.float32), np.ones(len(moments.ratings), np.float32))
        variances.append(list(drift.variances))
    # Drawn given the paths alone, they would be at 0.03 and 0.1 still.
    np.testing.assert_allclose(np.mean(variances[20:], axis=0), VARIANCES, rtol=0.4)


def test_finds_what_the_stages_add(world):
    moments, truth, _ = world
    rng = np.random.default_rng(5)
    stage = moments.stage
    added = np.where(moments.ratings.positions < 4, -0.4, 0.0)
    added -= added.mean()
    drift = Drift(moments, rng)
    stages = []
    for sweep in range(60):
        drift.draw(
            (truth + added + rng.normal(size=len(moments.ratings))).astype(np.float32),
            np.ones(len(moments.ratings)),
        )
        assert moments.stage_shares @ drift.stages == pytest.approx(0, abs=1e-9)
        if sweep >= 20:
            stages.append(drift.stages)
    found = np.mean(stages, axis=0)
    assert np.mean(found[stage[moments.ratings.positions < 4]]) == pytest.approx(added.min(), abs=0.12)
    assert np.mean(found[stage[moments.ratings.positions >= 4]]) == pytest.approx(added.max(), abs=0.03)


def test_what_nothing_is_said_of_is_as_the_prior_expects():
    ratings = Ratings.of(
        user=np.repeat(np.arange(20), 5),
        movie=np.tile(np.arange(5), 20),
        rating=np.zeros(100),
        time=np.full(100, 978_300_000),
        users=20,
        movies=5,
    )
    rng = np.random.default_rng(2)
    drift = Drift(Moments.of(ratings, SECONDS), rng)
    for _ in range(3):
        drift.draw(rng.normal(size=100).astype(np.float32), np.ones(100, np.float32))
        assert (drift.slope_mean, drift.stage_means.tolist()) == (0, [0])
        assert abs(drift.slope) > 0.01


def test_the_draws_of_slope_and_stages_are_around_their_means(world):
    moments, _, residuals = world
    precisions = np.full(len(moments.ratings), PRECISION, np.float32)
    slopes, stages = [], []
    for seed in range(100):
        drift = Drift(moments, np.random.default_rng(seed))
        drift.draw(residuals, precisions)
        slopes.append(
            (drift.slope - drift.slope_mean) * np.sqrt(1 + PRECISION * moments.tenure @ moments.tenure)
        )
        stages.append(drift.stages - drift.stage_means)
    assert np.mean(slopes) == pytest.approx(0, abs=0.3)
    assert np.std(slopes) == pytest.approx(1, abs=0.25)
    np.testing.assert_allclose(np.mean(stages, axis=0), 0, atol=0.02)
    np.testing.assert_allclose(moments.stage_shares @ np.transpose(stages), 0, atol=1e-6)


def test_returns_what_it_has_drawn(world):
    moments, _, residuals = world
    drift = Drift(moments, np.random.default_rng(0))
    found = drift.draw(residuals, np.full(len(moments.ratings), PRECISION, np.float32))
    # Rows of one user at one time differ by nothing: not by slope, nor by a path.
    same = (np.diff(moments.ratings.user) == 0) & (np.diff(moments.ratings.time) == 0)
    assert same.any()
    np.testing.assert_allclose(np.diff(found)[same], 0, atol=1e-6)
