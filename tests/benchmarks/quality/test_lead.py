import numpy as np
import pytest

from tests.benchmarks.quality.lead import leads, of_split
from tests.benchmarks.quality.results import Judgement, Result
from tests.benchmarks.quality.slices import Slice

USERS = np.repeat(np.arange(400), 5)
ALL = Slice(np.ones(2000, bool), USERS)


def test_a_lead_is_that_of_the_rows_that_count():
    losses = {"best": np.full(2000, 0.64), "even": np.full(2000, 0.81), "first": np.full(2000, 0.64)}
    losses["first"][:1000] = 1.0
    found = leads(losses, Slice(USERS < 200, USERS), np.sqrt)
    assert list(found) == ["even", "first"]
    assert (found["even"].by, found["first"].by) == (pytest.approx(0.1), pytest.approx(0.2))
    # Each user has the same errors, so that other users change nothing.
    assert (found["even"].low, found["even"].high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert leads(losses, Slice(np.zeros(2000, bool), USERS), np.sqrt) == {}


def test_the_interval_is_of_users_not_of_rows():
    rng = np.random.default_rng(3)
    by_user = rng.gamma(2.0, 0.4, 400)
    found = leads({"best": np.full(2000, 0.5), "other": by_user[USERS]}, ALL, np.sqrt)["other"]
    # By the delta method: the error of a mean of 400 users, and the slope of the root.
    error = by_user.std() / np.sqrt(400) / (2 * np.sqrt(by_user.mean()))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < found.by < found.high


def of_model(name, seed, **losses):
    """A result whose losses are of one user each."""
    return Result(
        model=name,
        split="last",
        seed=seed,
        cost={},
        fitted_on=1,
        machine="",
        largest_difference=None,
        judgements={moment: Judgement({}, np.array(values)) for moment, values in losses.items()},
    )


def test_a_lead_is_of_the_mean_of_the_seeds_with_a_moment_and_without():
    models = {
        "best": [
            of_model("best", 0, second=[0.2, 0.4], no_moment=[0.6, 0.8]),
            of_model("best", 1, second=[0.4, 0.6], no_moment=[0.8, 1.0]),
        ],
        "preset": [of_model("preset", 0, second=[0.5, 0.7], no_moment=[0.9, 1.0])],
        "baseline": [of_model("baseline", 0, second=[0.3, 0.9])],
    }
    users = np.arange(2)
    slices = {"overall": Slice(np.ones(2, bool), users), "liked": Slice(users > 0, users)}
    found = of_split(slices, models, lambda loss: loss)
    by = {name: {part: lead.by for part, lead in of.items()} for name, of in found.items()}
    assert by == {
        "preset": pytest.approx({"overall": 0.2, "liked": 0.2, "overall, no moment": 0.15}),
        "baseline": pytest.approx({"overall": 0.2, "liked": 0.4, "overall, no moment": -0.2}),
    }
    del models["best"]
    assert found["baseline"].keys() - of_split(slices, dict(reversed(models.items())), lambda x: x)[
        "preset"
    ].keys() == {"overall, no moment"}
