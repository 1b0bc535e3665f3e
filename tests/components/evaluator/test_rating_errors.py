"""What can be chance of the difference of two models."""

import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator import rating_errors
from components.evaluator.rating_errors import (
    JUDGED,
    RELATIVE_RMSE,
    REPORTED,
    RMSE,
    RMSE_INCREASE,
    RatingErrors,
    RmseIncrease,
)


def sums(rows):
    """Return the sums over rows of (uid, rating, predicted, predicted by the served model)."""
    combiner = rating_errors._Sums("")
    accumulator = combiner.create_accumulator()
    for uid, y, p, s in rows:
        terms = np.array([1, y, p, abs(p - y), (p - y) ** 2, y * y, (s - y) ** 2], float)
        accumulator = combiner.add_input(accumulator, (uid % 31, terms))
    return accumulator


def least_increase(rows):
    return rating_errors._least_increase(sums(rows))


def test_the_bound_is_that_of_leaving_each_group_of_users_out():
    random = np.random.default_rng(0)
    rows = [
        (int(uid), y, y + random.normal(), y + 0.9 * random.normal())
        for uid, y in zip(random.integers(0, 500, 900), random.integers(1, 6, 900), strict=True)
    ]
    values = np.array(rows)

    def increase(chosen):
        _, y, p, s = values[chosen].T
        return np.sqrt(np.mean((p - y) ** 2)) - np.sqrt(np.mean((s - y) ** 2))

    groups = values[:, 0] % 31
    left_out = np.array([increase(groups != group) for group in range(31)])
    error = np.sqrt(30 / 31 * np.sum((left_out - left_out.mean()) ** 2))
    assert error > 0.01
    assert least_increase(rows) == pytest.approx(increase(groups >= 0) - 1.645 * error)


def test_of_models_that_are_equally_good_one_in_twenty_looks_worse():
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        # 62 users of 20 ratings each, of whom either model is fond or not.
        fond = random.normal(0, 0.2, (62, 2))
        rows = [
            (uid, 3.0, 3.0 + error + fond[uid, 0], 3.0 + error + fond[uid, 1])
            for uid in range(62)
            for error in random.normal(0, 0.9, 20)
        ]
        alarms += least_increase(rows) > 0
    assert 8 <= alarms <= 36


@pytest.mark.parametrize(
    ("users", "rows_of_each", "served", "reported", "judged", "increase"),
    [
        (8, 25, 3.0, 1.0, 1.0, 2.0),
        (8, 24, 3.0, 0.0, 0.0, 0.0),
        (7, 100, 3.0, 1.0, 0.0, 0.0),
        (1, 200, 3.0, 1.0, 0.0, 0.0),
        (8, 25, np.nan, 1.0, 0.0, 0.0),
    ],
    ids=["enough", "few_rows", "few_users", "one_user", "no_number"],
)
def test_what_proves_nothing_is_not_judged(users, rows_of_each, served, reported, judged, increase):
    rows = [(uid, 3.0, 5.0, served) for uid in range(users)] * rows_of_each
    found = rating_errors._Sums("").extract_output(sums(rows))
    (*_, choice) = rating_errors._judged_computations(RMSE_INCREASE, 200, config_pb2.EvalConfig(), "")
    assert {key.name: value for key, value in choice.result(found).items()} == {
        REPORTED: reported,
        JUDGED: judged,
        RMSE_INCREASE: pytest.approx(increase),
    }


def test_a_day_of_equal_ratings_tells_nothing_of_a_model():
    found = rating_errors._Sums("").extract_output(sums([(uid, 5.0, 4.0, 4.0) for uid in range(9)]))
    assert found[metric_types.MetricKey(name=RMSE)] == pytest.approx(1.0)
    assert found[metric_types.MetricKey(name=RELATIVE_RMSE)] == np.inf


@pytest.mark.parametrize(
    ("metric", "arguments", "message"),
    [
        (RatingErrors, {"name": "error"}, "`name` must be 'rmse', got 'error'"),
        (RmseIncrease, {"min_rows": 0}, "`min_rows` must be positive, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused(metric, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric(**arguments)
