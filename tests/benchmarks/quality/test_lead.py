import numpy as np
import pytest

from tests.benchmarks.quality.lead import leads

USERS = np.repeat(np.arange(400), 5)


def test_a_lead_is_that_of_the_rows_that_count():
    errors = {"best": np.full(2000, 0.64), "even": np.full(2000, 0.81), "first": np.full(2000, 0.64)}
    errors["first"][:1000] = 1.0
    rows = USERS < 200
    found = leads(errors, USERS, rows)
    assert list(found) == ["even", "first"]
    assert (found["even"].stars, found["first"].stars) == (pytest.approx(0.1), pytest.approx(0.2))
    # Each user has the same errors, so that other users change nothing.
    assert (found["even"].low, found["even"].high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert leads(errors, USERS, np.zeros(2000, bool)) == {}


def test_the_interval_is_of_users_not_of_rows():
    rng = np.random.default_rng(3)
    by_user = rng.gamma(2.0, 0.4, 400)
    found = leads({"best": np.full(2000, 0.5), "other": by_user[USERS]}, USERS, np.ones(2000, bool))["other"]
    # By the delta method: the error of a mean of 400 users, and the slope of the root.
    error = by_user.std() / np.sqrt(400) / (2 * np.sqrt(by_user.mean()))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < found.stars < found.high
