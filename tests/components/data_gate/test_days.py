import collections
import dataclasses
import math

import pytest

from components.data_gate.config import DataGateConfig, Kind, Severity
from components.data_gate.days import Day, judge, new_days, read_days
from components.ratings_example_gen.counts import RowCounts
from components.ratings_example_gen.facts import RatingFacts
from schema import features

CONFIG = DataGateConfig()


def usual(**changes):
    """A day of 100 ratings by 10 users with ten each, half of them 3 and half of them 5 stars."""
    facts = RatingFacts(rows=100, squared_rows=1000, ratings=400.0, squared_ratings=50 * 9.0 + 50 * 25.0)
    return Day(lines=100, facts=dataclasses.replace(facts, **changes))


def after(day, *, days=10):
    """What the gate finds in a day after usual ones."""
    every = {f"2000-12-{n:02d}": usual() for n in range(1, days + 1)} | {"2000-12-31": day}
    measurements, notes = judge(every, ["2000-12-31"], CONFIG)
    assert notes == []
    assert {m.where for m in measurements} == {"2000-12-31"}
    return {m.kind: m for m in measurements}


def failed(measurements):
    return [m.kind for m in measurements.values() if not m.passed]


def test_a_day_like_the_others_passes():
    found = after(usual())
    assert failed(found) == []
    assert {kind: m.figure for kind, m in found.items()} == {
        Kind.REPEATED: 0.0,
        Kind.REJECTED: 0.0,
        Kind.VOLUME: 1.0,
        Kind.MEAN_RATING: 4.0,
    }


def test_the_mean_rating_has_room_for_few_users_who_rate_much():
    # A deviation of 1; of one rating each, four standard errors are 0.4 stars, which the least room exceeds.
    alone = after(usual(squared_rows=100, ratings=451.0))[Kind.MEAN_RATING]
    assert (alone.low, alone.high, alone.passed) == (3.5, 4.5, False)
    assert after(usual(squared_rows=100, ratings=450.0))[Kind.MEAN_RATING].passed
    # Of ten each: the root of 0.8 / 100 + 0.2 * 1000 / 100².
    assert after(usual())[Kind.MEAN_RATING].high == pytest.approx(4 + 4 * math.sqrt(0.008 + 0.02))
    # All by one user: the root of 0.8 / 100 + 0.2.
    (one,) = (after(usual(squared_rows=10_000, ratings=500.0))[Kind.MEAN_RATING],)
    assert one.high == pytest.approx(4 + 4 * math.sqrt(0.208))
    assert one.passed


def test_a_day_of_nothing_but_five_stars_is_found():
    found = after(usual(ratings=500.0, squared_ratings=2500.0))
    assert failed(found) == [Kind.MEAN_RATING]
    assert found[Kind.MEAN_RATING].text == (
        "2000-12-31: `rating`: mean rating (10 days before: 4) is 5, 3.331 to 4.669 allowed"
    )
    assert found[Kind.MEAN_RATING].severity is Severity.STOP


@pytest.mark.parametrize(("rows", "passes"), [(1, True), (5000, True), (5001, False)])
def test_the_volume_is_held_against_the_median(rows, passes):
    facts = dataclasses.replace(usual().facts, rows=rows, ratings=4.0 * rows)
    every = {f"2000-12-{n:02d}": usual() for n in range(1, 8)}
    every["2000-12-05"] = Day()  # a quiet day and a loud one do not move the median
    every["2000-12-06"] = usual(rows=40_000, ratings=160_000.0)
    measurements, _ = judge(every | {"2000-12-31": Day(facts=facts)}, ["2000-12-31"], CONFIG)
    (volume,) = [m for m in measurements if m.kind is Kind.VOLUME]
    assert (volume.figure, volume.passed) == (rows / 100, passes)


def test_a_day_of_a_hundredth_of_the_median_is_the_least():
    days = {f"2000-12-{n:02d}": usual(rows=1000) for n in range(1, 9)}
    for rows, passes in ((10, True), (9, False)):
        measurements, _ = judge(days | {"2000-12-31": usual(rows=rows)}, ["2000-12-31"], CONFIG)
        assert [m.passed for m in measurements if m.kind is Kind.VOLUME] == [passes]


def test_a_quiet_day_is_a_warning():
    found = after(Day())
    assert list(found) == [Kind.QUIET]
    assert found[Kind.QUIET].text == "2000-12-31: number of ratings is 0, at least 1 allowed"
    assert found[Kind.QUIET].severity is Severity.WARN


def test_a_day_that_another_day_had_is_found():
    assert failed(after(usual(replacing=50))) == []
    found = after(usual(replacing=51))
    assert failed(found) == [Kind.REPEATED]
    assert found[Kind.REPEATED].text == (
        "2000-12-31: share of ratings that an earlier day had too is 51.0%, at most 50.0% allowed"
    )


def test_a_day_of_many_rejected_lines_is_found():
    day = dataclasses.replace(usual(), lines=126, rejected=26)
    assert failed(after(day)) == [Kind.REJECTED]
    assert failed(after(dataclasses.replace(day, lines=130))) == []
    # All of them: the day is quiet too.
    assert failed(after(Day(lines=60, rejected=60))) == [Kind.QUIET, Kind.REJECTED]


def test_a_day_whose_users_lack_their_zips_is_found():
    lacking = collections.Counter({features.ZIP.name: 100})
    # One standard error of ten users who lack all or nothing is at most 0.5 / √10, four are 0.63.
    found = after(usual(missing=lacking))
    assert failed(found) == [Kind.MISSING]
    assert found[Kind.MISSING].high == pytest.approx(4 * 0.5 / math.sqrt(10))
    assert found[Kind.MISSING].feature == features.ZIP.name
    # Two users may well be two of the kind that give none.
    assert failed(after(usual(missing=lacking, squared_rows=2 * 50**2))) == []


def test_a_day_of_few_rows_has_no_mean_and_no_shares():
    assert set(after(usual(rows=19, replacing=19))) == {Kind.REJECTED, Kind.VOLUME}


def test_a_day_with_few_before_it_is_held_against_none():
    days = {f"2000-12-{n:02d}": usual() for n in range(1, 10)}
    days["2000-12-03"] = usual(replacing=100)
    measurements, notes = judge(days, list(days)[:8], CONFIG)
    assert notes == ["2000-12-01 to 2000-12-07: fewer than 7 days before to hold it against"]
    assert {m.where for m in measurements if m.kind is Kind.MEAN_RATING} == {"2000-12-08"}
    assert [m.where for m in measurements if not m.passed] == ["2000-12-03"]


def test_only_the_trailing_days_count():
    days = {f"2000-11-{n:02d}": usual(ratings=100.0) for n in range(1, 21)}
    days |= {f"2000-12-{n:02d}": usual() for n in range(1, 30)}
    measurements, _ = judge(days, ["2000-12-29"], CONFIG)
    (mean,) = [m for m in measurements if m.kind is Kind.MEAN_RATING]
    assert mean.what == "mean rating (28 days before: 4)"


def told(training, evaluation, missing=(), redelivered=()):
    return {
        "training": training,
        "evaluation": evaluation,
        "missing": list(missing),
        "redelivered": list(redelivered),
    }


NOW = told(
    ["2000-12-24", "2000-12-29"],
    ["2000-12-30", "2000-12-31"],
    ["2000-12-26"],
    ["span-2000-12-25/version-2/ratings.dat"],
)
DAYS = [f"2000-12-{n}" for n in (24, 25, 27, 28, 29, 30, 31)]


def test_the_days_of_a_run_are_those_of_its_files_and_the_quiet_ones():
    facts = usual().facts
    counts = RowCounts(
        read_by_file=collections.Counter(
            {"span-2000-12-24/ratings.dat": 101, "span-2000-12-25/version-2/ratings.dat": 2}
        ),
        rejected_by_file=collections.Counter({"span-2000-12-24/ratings.dat": 1}),
        facts_by_file={"span-2000-12-24/ratings.dat": facts},
    )
    assert read_days(counts, NOW) == {
        "2000-12-24": Day(101, 1, facts),
        "2000-12-25": Day(2),
        **{f"2000-12-{n}": Day() for n in (27, 28, 29, 30, 31)},
    }


@pytest.mark.parametrize(
    ("served", "new"),
    [
        (None, ["2000-12-30", "2000-12-31"]),
        (
            told(["2000-12-20", "2000-12-28"], ["2000-12-29", "2000-12-30"], redelivered=NOW["redelivered"]),
            ["2000-12-31"],
        ),
        (told(["2000-12-20", "2000-12-28"], ["2000-12-29", "2000-12-30"]), ["2000-12-25", "2000-12-31"]),
        (
            told(["2000-12-20", "2000-12-28"], ["2000-12-29", "2000-12-31"], ["2000-12-28"]),
            ["2000-12-25", "2000-12-28"],
        ),
        # A longer window, and a week later.
        (
            told(["2000-12-27", "2000-12-27"], ["2000-12-28", "2000-12-28"]),
            ["2000-12-24", "2000-12-25", "2000-12-29", "2000-12-30", "2000-12-31"],
        ),
    ],
)
def test_new_is_what_the_served_version_has_not_seen(served, new):
    assert new_days(DAYS, NOW, served) == new
