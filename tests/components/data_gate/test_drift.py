import math

import pytest

from components.data_gate import drift
from components.data_gate.config import DataGateConfig, Kind, Severity
from schema import features

CONFIG = DataGateConfig(newest=Severity.WARN)
FEATURES = (features.GENRES, features.GENDER, features.AGE, features.OCCUPATION, features.RATING)


def measured(kind, now, before, schema):
    if kind is Kind.DRIFT:
        found = drift.drift(now, before, schema, where="train", than="version 3", config=CONFIG)
    else:
        found = drift.skew(before, now, schema, kind=kind, where="test", config=CONFIG)
    assert {m.kind for m in found} == {kind}
    return {m.feature: m for m in found}


@pytest.mark.parametrize("kind", [Kind.DRIFT, Kind.NEWEST])
def test_the_same_rows_have_no_distance(statistics, schema, kind):
    found = measured(kind, statistics(), statistics(200), schema)
    assert set(found) == {feature.name for feature in FEATURES}
    assert all(m.figure == pytest.approx(0, abs=1e-6) and m.passed for m in found.values())


def test_a_third_of_the_comedies_gone_is_drift_and_not_yet_skew(statistics, schema):
    # Of 150 genres a third is each; then 50 are Drama, 17 more, and 33 comedies.
    genres = [["Drama"]] * 50 + [["Drama", "War"]] * 17 + [["Comedy", "War"]] * 33
    now = statistics(**{features.GENRES.name: genres})
    found = measured(Kind.DRIFT, now, statistics(), schema)[features.GENRES.name]
    assert found.figure == pytest.approx(17 / 150)
    assert not found.passed
    assert found.severity is Severity.STOP
    assert found.text == (
        "train: `genres`: L-infinity distance from version 3 is 0.1133, at most 0.1 allowed"
    )
    newest = measured(Kind.NEWEST, now, statistics(), schema)[features.GENRES.name]
    assert (newest.figure, newest.high) == (pytest.approx(17 / 150), 0.2)
    assert newest.passed


def divergence(p, q):
    """The Jensen-Shannon divergence of two distributions, to the base of 2 (Lin 1991, equation 3.1)."""
    means = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return sum(a * math.log2(a / m) for d in (p, q) for a, m in zip(d, means, strict=True)) / 2


def test_a_day_of_mostly_five_stars_diverges(statistics, schema):
    now = statistics(**{features.RATING.name: [[3.0]] * 10 + [[5.0]] * 90})
    for kind, bound in ((Kind.DRIFT, 0.02), (Kind.NEWEST, 0.1)):
        found = measured(kind, now, statistics(), schema)[features.RATING.name]
        assert found.figure == pytest.approx(divergence((0.1, 0.9), (0.5, 0.5)), abs=1e-3)
        assert (found.high, found.passed) == (bound, False)
    assert found.text.startswith("test: `rating`: Jensen-Shannon divergence from the training split is 0.14")
    assert found.severity is Severity.WARN


def test_zips_that_are_gone_are_told(statistics):
    def missing(now, before):
        return drift.more_missing(now, before, where="train", than="version 3", config=CONFIG)

    def lacking(n):
        return statistics(**{features.ZIP.name: [None] * n + [["02139"]] * (100 - n)})

    assert missing(statistics(), statistics()) == []
    (some,) = missing(lacking(25), lacking(10))
    assert (some.feature, some.figure, some.high) == (
        features.ZIP.name,
        pytest.approx(0.25),
        pytest.approx(0.3),
    )
    assert some.passed
    (many,) = missing(lacking(31), lacking(10))
    assert many.text == (
        "train: `zip`: share of rows without a value (version 3: 10.0%) is 31.0%, at most 30.0% allowed"
    )
    assert not many.passed
    (none,) = missing(lacking(100), statistics())
    assert (none.figure, none.passed) == (1.0, False)


def test_rows_are_counted(statistics):
    assert drift.rows(statistics(60)) == 60
