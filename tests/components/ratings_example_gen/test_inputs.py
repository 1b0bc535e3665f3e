import datetime
import errno
import shutil

import pytest
import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.portable.data_types import ExecutionInfo

from components.errors import RunStoppedError
from components.ratings_example_gen.config import ExampleGenConfig, RunDays, SpanConfig
from components.ratings_example_gen.driver import Driver, fingerprint
from components.ratings_example_gen.inputs import Inputs, find_inputs

DAYS = [f"2000-12-{day}" for day in range(25, 32)]


@pytest.fixture
def folder(tmp_path):
    """The days from 2000-12-25 to 2000-12-31, one rating each, movies and users shared."""
    for day in DAYS:
        put(tmp_path, f"span-{day}/ratings.dat", "1::1::5::977700000\n")
    put(tmp_path, "movies.dat", "1::A::Drama\n")
    put(tmp_path, "users.dat", "1::F::1::1::1\n")
    return tmp_path


def put(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def find(folder, date="2000-12-30", evaluation_days=2, **config):
    return find_inputs(str(folder), RunDays(run_date=date, evaluation_days=evaluation_days, **config))


def ratings(*days):
    return tuple(f"span-2000-12-{day}/ratings.dat" for day in days)


def test_the_window_ends_where_the_evaluation_span_begins(folder):
    assert find(folder, window_days=3) == Inputs(
        training=ratings(26, 27, 28), evaluation=ratings(29, 30), movies="movies.dat", users="users.dat"
    )
    assert find(folder).training == ratings(25, 26, 27, 28)
    assert find(folder, window_days=365).training == ratings(25, 26, 27, 28)
    assert find(folder, window_days=3).days == {
        "training": ["2000-12-26", "2000-12-28"],
        "evaluation": ["2000-12-29", "2000-12-30"],
        "missing": [],
        "redelivered": [],
    }


def test_a_flat_dataset_is_three_files(folder):
    assert find_inputs(str(folder), None) == Inputs(
        training=("ratings.dat",), movies="movies.dat", users="users.dat"
    )


def test_of_each_file_the_newest_version_counts(folder):
    for version in (2, 10):
        put(folder, f"span-2000-12-28/version-{version}/ratings.dat", "1::1::4::977700000\n")
    put(folder, "span-2000-12-28/version-11/users.dat", "1::M::1::1::1\n")
    inputs = find(folder)
    assert inputs.training[-1] == "span-2000-12-28/version-10/ratings.dat"
    assert inputs.users == "span-2000-12-28/version-11/users.dat"


def test_movies_are_those_of_the_newest_day_that_has_them(folder):
    for day in (25, 27, 31):
        put(folder, f"span-2000-12-{day}/movies.dat", f"1::{day}::Drama\n")
    assert find(folder).movies == "span-2000-12-27/movies.dat"
    assert find(folder, "2000-12-31").movies == "span-2000-12-31/movies.dat"
    # The window of one day begins after the change.
    assert find(folder, window_days=1).movies == "span-2000-12-27/movies.dat"
    assert find(folder).users == "users.dat"


@pytest.mark.parametrize("gone", ["span", "ratings"])
def test_a_day_that_is_missing_stops_the_run_unless_allowed(folder, gone):
    for day in (27, 30):
        span = folder / f"span-2000-12-{day}"
        shutil.rmtree(span)
        if gone == "ratings":
            put(folder, f"{span.name}/README", "to come")
    with pytest.raises(RunStoppedError) as stopped:
        find(folder)
    assert str(stopped.value) == (
        f"missing or late: 2000-12-27, 2000-12-30; {folder}/span-2000-12-27/ratings.dat is not there. "
        "Deliver the day and run again; a day without ratings has an empty file; --allow-missing goes on "
        "without the day"
    )
    inputs = find(folder, allow_missing=True)
    assert inputs.training == ratings(25, 26, 28)
    assert inputs.evaluation == ratings(29)
    assert inputs.missing == ("2000-12-27", "2000-12-30")


def test_many_missing_days_are_counted(folder):
    with pytest.raises(RunStoppedError, match="late: 2001-01-01, 2001-01-02, 2001-01-03 and 7 more; "):
        find(folder, "2001-01-10")


def test_days_before_the_first_are_not_missing_but_a_window_needs_one(folder):
    assert find(folder, "2000-12-27", window_days=30).training == ratings(25)
    with pytest.raises(
        RunStoppedError, match=r"no day of the training window: .* the first span is 2000-12-25"
    ):
        find(folder, "2000-12-26")
    with pytest.raises(RunStoppedError, match="has no span up to 2000-12-24; the first is 2000-12-25"):
        find(folder, "2000-12-24")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("span-2000-12-30/version-x", "version-x must be version-2 or higher"),
        ("span-2000-12-30/version-1", "version-1 must be version-2 or higher"),
        ("span-2000-12-32", "span-2000-12-32 is no day of the calendar"),
    ],
)
def test_a_misnamed_folder_is_named(folder, name, message):
    (folder / name).mkdir()
    with pytest.raises(RunStoppedError, match=message):
        find(folder)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        tf.errors.PermissionDeniedError(None, None, "Input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["listdir", "exists"])
def test_a_folder_that_cannot_be_read_says_nothing_of_the_data(folder, monkeypatch, call, error):
    def fail(path):
        raise error

    monkeypatch.setattr(fileio, call, fail)
    with pytest.raises(RunStoppedError, match=f"^{folder}.* cannot be read: .*Input/output error") as stopped:
        find(folder)
    assert not stopped.value.of_data


def test_a_span_that_is_a_file_is_named(folder):
    shutil.rmtree(folder / "span-2000-12-28")
    put(folder, "span-2000-12-28", "a file")
    with pytest.raises(RunStoppedError, match=r"/span-2000-12-28 cannot be read: .+"):
        find(folder)


def test_without_movies_a_run_cannot_be(folder):
    (folder / "movies.dat").unlink()
    with pytest.raises(RunStoppedError, match=r"has no movies\.dat, itself or in a span up to 2000-12-30"):
        find(folder)


@pytest.mark.parametrize("run_date", ["2000-13-01", "20001231", "2000-W52-7", "", "today"])
def test_a_run_date_is_a_date(run_date):
    with pytest.raises(ValueError, match=r"`run_date` must be a date like 2000-12-31, got "):
        RunDays(run_date=run_date)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ({"lag_days": -1}, "`lag_days` must not be negative, got -1"),
        ({"window_days": -1}, "`window_days` must not be negative, got -1"),
        ({"evaluation_days": 0}, "`evaluation_days` must be at least 1, got 0"),
        ({"window_days": 10**6}, "`window_days` and `lag_days` reach beyond the calendar"),
        ({"lag_days": 10**12}, "`window_days` and `lag_days` reach beyond the calendar"),
    ],
)
def test_days_are_of_the_calendar(days, message):
    with pytest.raises(ValueError, match=message):
        RunDays(run_date="2000-12-31", **days)


def test_a_run_in_the_night_after_the_last_day_reads_the_same_days():
    run = RunDays(run_date="2001-01-01", lag_days=1, window_days=3)
    assert (run.last_day, run.evaluation_start, run.window_start) == (
        datetime.date(2000, 12, 31),
        datetime.date(2000, 12, 25),
        datetime.date(2000, 12, 22),
    )


def test_the_configuration_goes_to_json_and_back():
    config = ExampleGenConfig(spans=SpanConfig(evaluation_days=3))
    assert ExampleGenConfig.from_json(config.to_json()) == config
    assert config.split_identity == "spans seed=0 valid=0.05"
    with pytest.raises(ValueError, match="`split` must be random for a folder of days, got time"):
        ExampleGenConfig(split="time", spans=SpanConfig())
    with pytest.raises(ValueError, match="unknown fields: run_date"):
        ExampleGenConfig.from_json('{"spans": {"run_date": "2000-12-31"}}')


def test_days_are_of_the_run_and_of_the_configuration():
    chosen = {"run_date": "2000-12-31", "lag_days": 1, "window_days": 3, "input_base": "data"}
    config = ExampleGenConfig(spans=SpanConfig(evaluation_days=2, allow_missing=True))
    assert config.days(chosen) == RunDays(
        run_date="2000-12-31", lag_days=1, window_days=3, evaluation_days=2, allow_missing=True
    )
    nothing = {"run_date": "", "lag_days": 0, "window_days": 0}
    assert ExampleGenConfig().days(nothing) is None
    for name in nothing:
        message = f"`{name}` is for a folder of days, got {chosen[name]!r} for a flat dataset"
        with pytest.raises(ValueError, match=message):
            ExampleGenConfig().days({**nothing, name: chosen[name]})


@pytest.fixture
def drive(folder):
    """Run the driver for the same date and window, and return the properties that it puts."""
    handle = metadata.Metadata(metadata.sqlite_metadata_connection_config(str(folder / "metadata.db")))
    config = ExampleGenConfig(spans=SpanConfig(evaluation_days=2))

    def run(run_date="2000-12-30", lag_days=0):
        info = ExecutionInfo(
            input_dict={},
            exec_properties={
                "input_base": str(folder),
                "example_gen_config": config.to_json(),
                "run_date": run_date,
                "lag_days": lag_days,
                "window_days": 3,
            },
        )
        properties = Driver(handle).run(info).exec_properties
        return {name: value.string_value for name, value in properties.items()}

    return run


def test_the_driver_puts_the_files_and_their_fingerprint(drive, folder):
    inputs = find(folder, window_days=3)
    assert drive() == {
        "inputs": inputs.to_json(),
        "input_fingerprint": fingerprint(str(folder), inputs),
    }
    assert drive("2000-12-31", 1) == drive()


@pytest.mark.parametrize(
    ("run_date", "message"),
    [
        ("20001230", "`run_date` must be a date like 2000-12-31, got '20001230'"),
        (
            "[[ScheduledTime.2006-01-02]]",
            r"`run_date` is '\[\[ScheduledTime.2006-01-02\]\]', which the back end should have replaced by a "
            "date: Kubeflow Pipelines does so from release 2.16 on",
        ),
        ("{{workflow.creationTimestamp}}", "which the back end should have replaced by a date"),
    ],
)
def test_the_driver_refuses_what_is_no_date(drive, run_date, message):
    with pytest.raises(RunStoppedError, match=message):
        drive(run_date)


@pytest.mark.parametrize(
    "name", ["span-2001-01-01/ratings.dat", "span-2000-12-31/movies.dat", "span-2000-12-25/ratings.dat"]
)
def test_what_lies_outside_the_window_changes_nothing(drive, folder, name):
    before = drive()
    put(folder, name, "another")
    assert drive() == before


@pytest.mark.parametrize(
    "name",
    [
        "span-2000-12-26/ratings.dat",
        "span-2000-12-30/ratings.dat",
        "span-2000-12-30/version-2/ratings.dat",
        "span-2000-12-25/movies.dat",
        "users.dat",
    ],
)
def test_what_is_read_changes_the_fingerprint(drive, folder, name):
    before = drive()
    put(folder, name, "another")
    assert drive()["input_fingerprint"] != before["input_fingerprint"]


def test_a_quiet_day_may_be_empty_but_not_all_of_them(drive, folder):
    put(folder, "span-2000-12-27/ratings.dat", "")
    assert '"span-2000-12-27/ratings.dat"' in drive()["inputs"]
    for day in DAYS:
        put(folder, f"span-{day}/ratings.dat", "")
    with pytest.raises(RunStoppedError, match="all 5 days that this run reads have no ratings"):
        drive()
    put(folder, "span-2000-12-27/ratings.dat", "1::1::1::1\n")
    put(folder, "users.dat", "")
    with pytest.raises(RunStoppedError, match=r"users\.dat is empty"):
        drive()
