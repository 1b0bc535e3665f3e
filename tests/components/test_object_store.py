import fsspec
import pytest
from tfx.dsl.io import fileio

import components.object_store  # noqa: F401


@pytest.fixture
def folder(bucket):
    for name in ("days/span-2000-12-30/ratings.dat", "days/span-2000-12-31/ratings.dat", "days/users.dat"):
        fsspec.filesystem("s3").pipe(f"{bucket}/{name}", name.encode())
    return f"{bucket}/days"


def test_what_lies_there(folder):
    assert sorted(fileio.listdir(folder)) == ["span-2000-12-30", "span-2000-12-31", "users.dat"]
    assert fileio.listdir(f"{folder}/span-2000-12-30/") == ["ratings.dat"]
    assert (fileio.exists(f"{folder}/users.dat"), fileio.exists(f"{folder}/movies.dat")) == (True, False)
    assert (fileio.isdir(folder), fileio.isdir(f"{folder}/users.dat")) == (True, False)
    assert fileio.glob(f"{folder}/*/ratings.dat") == [
        f"{folder}/span-2000-12-{day}/ratings.dat" for day in (30, 31)
    ]
    assert [*fileio.walk(f"{folder}/span-2000-12-30")] == [(f"{folder}/span-2000-12-30", [], ["ratings.dat"])]
    assert fileio.stat(f"{folder}/users.dat")["size"] == len("days/users.dat")
    with pytest.raises(fileio.NotFoundError):
        fileio.listdir(f"{folder}/nowhere")
    with pytest.raises(FileNotFoundError):
        fileio.open(f"{folder}/nowhere", "rb")


def test_a_day_that_arrives_is_seen_at_once(folder):
    fileio.listdir(folder)
    fsspec.filesystem("s3").pipe(f"{folder}/span-2001-01-01/ratings.dat", b"")
    assert "span-2001-01-01" in fileio.listdir(folder)


def test_what_is_written_is_read_in_parts(folder):
    fileio.makedirs(f"{folder}/new")
    with fileio.open(f"{folder}/new/file", "wb") as file:
        file.write(b"abc" * 1000)
        assert not fileio.exists(f"{folder}/new/file")
    with fileio.open(f"{folder}/new/file", "rb") as file:
        file.seek(1500)
        assert file.read(4) == b"abca"


def test_what_is_moved_and_removed(folder):
    fileio.copy(f"{folder}/users.dat", f"{folder}/copy.dat")
    with pytest.raises(OSError, match=r"copy\.dat exists"):
        fileio.rename(f"{folder}/users.dat", f"{folder}/copy.dat")
    fileio.rename(f"{folder}/users.dat", f"{folder}/copy.dat", overwrite=True)
    assert not fileio.exists(f"{folder}/users.dat")
    with fileio.open(f"{folder}/copy.dat") as file:
        assert file.read() == "days/users.dat"
    fileio.remove(f"{folder}/copy.dat")
    fileio.rmtree(f"{folder}/span-2000-12-30")
    assert fileio.listdir(folder) == ["span-2000-12-31"]
