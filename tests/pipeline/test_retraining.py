import csv
import datetime
import json
import shutil

import pytest

from pipeline import retraining_record
from pipeline.retraining import next_due, past_days, require_forward, with_run


def day(number):
    return datetime.date(2000, 12, number)


def summary(number, **changes):
    """Return what a run for a day of December 2000 says of itself, if all goes well."""
    return {
        "state": "succeeded",
        "blessed": True,
        "blessing_reasons": [],
        "pushed_version": number,
        "seconds": 100.4,
        "seconds_by_node": {"RatingsExampleGen": 9.0, "Trainer": 20.5},
        "serving_dir": "runs/ml-1m/serving/deepfm",
        "spans": {"run_date": f"2000-12-{number:02}", "window_days": None},
        "input_fingerprint": f"data-{number}",
        "rows_by_split": {"train": 12_345, "valid": 600, "test": 70},
        "start": {
            "version": number - 1,
            "entries": {"uid": {"kept": 9, "new": 3, "gone": 0}, "mid": {"kept": 9, "new": 0, "gone": 1}},
        },
        "evaluation": {"baseline_rmse": 0.98765},
        "metrics": {"test": {"overall": {"rmse": 0.95432}}},
        **changes,
    }


REFUSED = {
    "state": "failed",
    "pushed_version": None,
    "failed_node": "DataGate",
    "error": "the data does not fit\n  test: `rating`",
    "data_refused": True,
}
BROKEN = {
    "state": "failed",
    "pushed_version": None,
    "failed_node": "Trainer",
    "error": "no space",
    "seconds_by_node": {},
    "data_refused": False,
}
NOT_COMPARED = {
    "baseline_rmse": 0.98765,
    "baseline_version": 7,
    "compared": False,
    "not_compared": "143 test rows, 200 are needed",
}
HELD = {"pushed_version": None, "blessing_reasons": ["Evaluator: overall: rmse is 2.0000", "x" * 80]}


@pytest.fixture
def root(tmp_path):
    """Return a function that lets runs leave their summaries, in that order."""

    def write(*summaries):
        shutil.rmtree(tmp_path / "history", ignore_errors=True)
        for number, content in enumerate(summaries):
            folder = tmp_path / "history" / f"{number:04}"
            folder.mkdir(parents=True)
            if content is not None:
                (folder / "summary.json").write_text(json.dumps(content))
        return tmp_path

    return write


def due(root, fingerprints=None, first=None, last=6):
    """Return the number of the day that is due."""
    changed = {} if fingerprints is None else fingerprints

    def fingerprint(asked):
        return changed.get(asked.day, f"data-{asked.day}")

    found = next_due(past_days(root), first and day(first), day(last), fingerprint)
    return found and found.day


def test_the_day_after_the_last_one_done_is_due(root):
    assert due(root()) == 6
    assert due(root(summary(3), summary(4))) == 5
    assert due(root(summary(3), summary(4)), last=4) is None
    assert due(root(summary(3), summary(4)), last=2) is None


def test_no_day_before_the_first_that_may_be_due_is(root):
    assert due(root(), first=3) == 3
    assert due(root(), first=7) is None
    done = root(summary(3), summary(4, **REFUSED))
    assert [due(done, first=number) for number in (3, 4, 5, 6, 7)] == [5, 5, 5, 6, None]
    mended = {4: "delivered again"}
    assert [due(done, mended, first=number) for number in (3, 4, 5)] == [4, 4, 5]


def test_a_day_that_always_breaks_can_be_left_out(root):
    broken = root(summary(3), summary(4, **BROKEN))
    require_forward(past_days(broken), day(5))
    assert due(broken, first=5) == 5
    assert due(root(summary(3), summary(4, **BROKEN), summary(5))) == 6


def test_days_go_forward_only(root):
    require_forward(past_days(root()), day(3))
    done = past_days(root(summary(3), summary(4), summary(6), summary(7, **BROKEN)))
    for number in (3, 4, 6, 7, 8):
        require_forward(done, day(number))
    for number, later in ((2, 3), (5, 6)):
        with pytest.raises(ValueError, match=f"^--from {day(number)} is too early: {day(later)} is done, "):
            require_forward(done, day(number))


def test_what_a_person_ran_for_a_later_day_leaves_the_days_between_due(root):
    by_hand = {"input_fingerprint": None}
    assert due(root(summary(3), summary(5, **by_hand))) == 4
    # With other options, or with data that a gate had refused.
    home = root(summary(3), summary(4, **REFUSED), summary(4, **by_hand), summary(5, **by_hand))
    assert due(home) == 5
    assert [(found.day, found.version) for found in past_days(home)] == [(day(3), 3), (day(4), None)]


@pytest.mark.parametrize("left", [None, summary(4, **BROKEN), {"input_fingerprint": "data-4"}])
def test_a_day_whose_run_was_killed_or_broke_is_due_again(root, left):
    assert due(root(summary(3), left)) == 4


def test_a_day_that_a_later_run_broke_stays_done(root):
    assert due(root(summary(3), summary(4), summary(4, **BROKEN))) == 5


@pytest.mark.parametrize("gate", [REFUSED, HELD])
def test_a_refused_day_is_due_again_only_if_its_data_have_changed(root, gate):
    home = root(summary(3), summary(4, **gate))
    assert due(home) == 5
    assert due(home, {4: "delivered again"}) == 4
    assert due(home, {4: "delivered again"}, last=3) is None
    # A bad day spoils those after it.
    both = (summary(3), summary(4, **gate), summary(5, **gate))
    assert due(root(*both), {4: "delivered again", 5: "reads it"}) == 4
    assert due(root(*both, summary(4)), {5: "reads it"}) == 5
    # The next day reads what was delivered.
    assert due(root(summary(3), summary(4, **gate), summary(5)), {4: "delivered again"}) == 6


@pytest.mark.parametrize(
    "more", [summary(2), summary(4), summary(4, **BROKEN), summary(4, **HELD), summary(5, **REFUSED)]
)
def test_one_more_run_is_told_as_if_all_were_read_again(root, more):
    runs = (summary(3), summary(4, **REFUSED))
    past = past_days(root(*runs))
    assert with_run(past, more) == past_days(root(*runs, more))
    by_hand = more | {"input_fingerprint": None}
    assert with_run(past, by_hand) == past


def test_a_run_without_days_and_a_damaged_summary_are_none_of_them(root):
    flat = summary(3, spans=None)
    del flat["input_fingerprint"]
    home = root(flat, summary(4))
    (home / "history" / "0001" / "summary.json").write_text("{")
    assert past_days(home) == []


def test_a_day_is_told_in_a_line_and_in_the_table(root):
    home = root(
        summary(4, start={"version": None, "reason": "asked for", "entries": {}}, evaluation={}),
        summary(5),
        summary(6, **REFUSED, start={}, evaluation={}, metrics={}, rows_by_split={}),
        summary(7, **HELD),
        summary(8, evaluation=NOT_COMPARED),
    )
    days = past_days(home)
    assert [
        retraining_record.head(),
        *(retraining_record.line(found) for found in days),
    ] == [
        "       day         rows  new users  new movies  RMSE before   after  seconds  decision",
        "2000-12-04       12,345          -           -            -  0.9543      100  version 4",
        "2000-12-05       12,345          3           0       0.9877  0.9543      100  version 5",
        "2000-12-06            -          -           -            -       -      100  "
        "refused by DataGate: the data does not fit test: `rating`",
        "2000-12-07       12,345          3           0       0.9877  0.9543      100  "
        "not pushed: Evaluator: overall: rmse is 2.0000; …",
        "2000-12-08       12,345          3           0       0.9877  0.9543      100  "
        "version 8, not compared with version 7: 143 test rows, 200 are needed",
    ]
    retraining_record.write(days, home)
    with (home / "days.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["day"] for row in rows] == [f"2000-12-0{number}" for number in range(4, 9)]
    assert {name: rows[1][name] for name in ("rows", "evaluation_rows", "new_users", "version", "done")} == {
        "rows": "12345",
        "evaluation_rows": "70",
        "new_users": "3",
        "version": "5",
        "done": "True",
    }
    assert [row["rmse_before"] for row in rows] == ["", "0.98765", "", "0.98765", "0.98765"]
    assert rows[4]["decision"] == "version 8, not compared with version 7"
    assert rows[4]["reason"] == "143 test rows, 200 are needed"
    plot = (home / "days.svg").read_bytes()
    assert b"</svg>" in plot
    retraining_record.write(days, home)
    assert (home / "days.svg").read_bytes() == plot
    assert sorted(path.name for path in home.iterdir()) == ["days.csv", "days.svg", "history"]
