import pytest

from pipeline.kubeflow.cron import six_fields


@pytest.mark.parametrize(
    "cron",
    ["0 3 * * *", "*/15 0-6/2 1,15 jan-Mar,12 mon-fri", "59 23 31 12 6"],
)
def test_the_seconds_come_first(cron):
    assert six_fields(f" {cron} ") == f"0 {cron}"


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        (
            "0 0 3 * * *",
            "`cron` must have five fields, minute, hour, day of the month, month, day of the week",
        ),
        ("@daily", "must have five fields"),
        ("60 3 * * *", "has '60' as the minute, which is none, got '60 3"),
        ("0 24 * * *", "has '24' as the hour"),
        ("0 3 0 * *", "has '0' as the day of the month"),
        ("0 3 * foo *", "has 'foo' as the month"),
        ("0 3 * * 7", "has '7' as the day of the week"),
        ("0 3 * * 1,", "has '' as the day of the week"),
        ("*/0 3 * * *", r"has '\*/0' as the minute"),
        ("1- 3 * * *", "has '1-' as the minute"),
        ("0 22-2 * * *", "has '22-2' as the hour"),
    ],
)
def test_what_is_no_cron_expression_is_refused(cron, message):
    with pytest.raises(ValueError, match=message):
        six_fields(cron)
