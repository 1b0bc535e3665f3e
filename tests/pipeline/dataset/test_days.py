import datetime
import os
import signal
import subprocess
import sys

import pytest

from pipeline.dataset.days import Days, split_by_day
from pipeline.dataset.errors import DatasetError

# 1970-01-11 begins at second 864000.
RATINGS = (
    b"1::1::5::864000\n"
    b"1::2::4::863999\n"
    b"2::1::3::never\n"
    b"2::2::3::1123199\n"
    b"2::3::3::864001\r\n"
    b"3::1::1::864001000\n"
    b"3::2::1::1123198"
)
BY_DAY = {
    "span-1970-01-10": b"1::2::4::863999\n2::1::3::never\n",
    "span-1970-01-11": b"1::1::5::864000\n2::3::3::864001\r\n",
    "span-1970-01-12": b"",
    "span-1970-01-13": b"2::2::3::1123199\n3::2::1::1123198",
    "span-1997-05-19": b"3::1::1::864001000\n",
}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "flat"
    folder.mkdir()
    (folder / "ratings.dat").write_bytes(RATINGS)
    (folder / "movies.dat").write_bytes(b"1::A\xe9::Drama\n")
    (folder / "users.dat").write_bytes(b"1::F::1::1::1\n")
    return folder


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_each_line_goes_to_its_day_as_it_is(source, tmp_path, block_bytes):
    shares = []
    days = split_by_day(source, tmp_path / "days", report=shares.append, block_bytes=block_bytes)
    found = {path.parent.name: path.read_bytes() for path in (tmp_path / "days").glob("span-*/ratings.dat")}
    first, last = datetime.date(1970, 1, 10), datetime.date(1997, 5, 19)
    assert {name: text for name, text in found.items() if text} == {n: t for n, t in BY_DAY.items() if t}
    assert found["span-1970-01-12"] == b""
    assert len(found) == days.count == (last - first).days + 1
    assert days == Days(lines=7, first=first, last=last, quiet=days.count - 4, without_time=1)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    assert (tmp_path / "days" / "movies.dat").read_bytes() == b"1::A\xe9::Drama\n"
    assert (tmp_path / "days" / "users.dat").read_bytes() == b"1::F::1::1::1\n"


def test_lines_before_the_first_time_go_with_it(source, tmp_path):
    (source / "ratings.dat").write_bytes(b"header\n1::1::5::5000000000\n1::2::4::864000\n")
    days = split_by_day(source, tmp_path / "days", report=lambda _: None)
    assert (days.count, days.without_time) == (1, 2)
    written = (tmp_path / "days" / "span-1970-01-11" / "ratings.dat").read_bytes()
    assert written == (source / "ratings.dat").read_bytes()


def test_ratings_without_any_time_are_an_error_and_leave_nothing(source, tmp_path):
    (source / "ratings.dat").write_bytes(b"1,1,5\n")
    with pytest.raises(DatasetError, match="has no line that ends in a time in seconds"):
        split_by_day(source, tmp_path / "days", report=lambda _: None)
    assert not (tmp_path / "days").exists()


def test_an_output_with_something_in_it_is_left_alone(source, tmp_path):
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "mine").write_text("mine")
    with pytest.raises(DatasetError, match="exists and is not empty: give a new folder"):
        split_by_day(source, tmp_path / "days", report=lambda _: None)
    assert (tmp_path / "days" / "mine").read_text() == "mine"


def test_a_killed_split_leaves_no_output_and_can_be_repeated(source, tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from pipeline.dataset.days import split_by_day
split_by_day(Path({str(source)!r}), Path({str(tmp_path / "days")!r}), block_bytes=40,
             report=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=env)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "days").exists()
    assert list(tmp_path.glob(".days.partial/span-*"))
    assert split_by_day(source, tmp_path / "days", report=lambda _: None).lines == 7
    assert not list(tmp_path.glob(".days.partial"))
