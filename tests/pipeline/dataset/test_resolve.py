import datetime
import functools
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import zipfile

import pytest
import requests

from pipeline.dataset import archive, download, generated, layout
from pipeline.dataset import resolve as resolve_module
from pipeline.dataset.days import split_by_day
from pipeline.dataset.errors import DatasetError
from pipeline.dataset.resolve import Dataset, resolve

FILES = {
    "ratings.dat": b"1::1::5::978300760\n1::2::3::978300761\n",
    "movies.dat": "1::Toy Story (1995)::Comedy\n2::Café (1999)::Drama\n".encode("latin-1"),
    "users.dat": b"1::F::1::10::48067\n",
}


@pytest.fixture
def ask(tmp_path):
    """Resolve with folders of the test's own, and keep what was notified in `ask.notices`."""
    notices = []

    def call(data=None):
        return resolve(
            None if data is None else str(data),
            cache_dir=tmp_path / "cache",
            work_dir=tmp_path / "work",
            notify=notices.append,
        )

    call.notices = notices
    return call


@pytest.fixture
def small_generator(monkeypatch):
    """Make the fall-back small; its name still says so."""
    monkeypatch.setattr(generated, "RATINGS", 300)
    monkeypatch.setattr(generated, "USERS", 10)
    monkeypatch.setattr(generated, "MOVIES", 40)
    calls = []
    generate = generated.generate

    def counting(folder):
        calls.append(folder)
        return generate(folder, ratings=300, users=10, movies=40, seed=7)

    monkeypatch.setattr(generated, "generate", counting)
    return calls


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a folder on 127.0.0.1 in GroupLens' place."""
    root = tmp_path / "www"
    root.mkdir()
    handler = functools.partial(_QuietHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(download, "MOVIELENS_URL", f"http://127.0.0.1:{httpd.server_port}/ml-1m.zip")
        monkeypatch.setattr(download, "_RETRIES", 0)
        yield root
        httpd.shutdown()
        thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _write_folder(folder, files=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _write_zip(path, files=FILES, prefix="ml-1m/", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, content in files.items():
            file.writestr(prefix + name, content)
    return path


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _unreachable(*_):
    raise download.UnreachableError("files.grouplens.org could not be reached (no connection)")


def test_a_folder_is_used_where_it_lies(ask, tmp_path):
    folder = _write_folder(tmp_path / "ml-1m")
    assert ask(folder) == Dataset(
        name="ml-1m",
        folder=folder,
        last_day=None,
        generated=False,
        noise_floor_rmse=None,
        origin=str(folder),
    )
    assert ask.notices == []


def test_a_folder_may_hold_the_files_in_one_sub_folder(ask, tmp_path):
    _write_folder(tmp_path / "movielens" / "ml-1m")
    dataset = ask(tmp_path / "movielens")
    assert (dataset.name, dataset.folder) == ("movielens", tmp_path / "movielens" / "ml-1m")


def test_a_relative_path_is_made_absolute(ask, tmp_path, monkeypatch):
    _write_folder(tmp_path / "ml-1m")
    monkeypatch.chdir(tmp_path / "ml-1m")
    assert ask(".").folder == tmp_path / "ml-1m"
    assert ask(".").name == "ml-1m"


@pytest.mark.parametrize("prefix", ["ml-1m/", ""])
def test_a_zip_is_unpacked_without_what_else_it_holds(ask, tmp_path, prefix):
    extra = {"README": b"read me", "notes.txt": b"no", "deep/ratings.dat": b"no"}
    path = _write_zip(tmp_path / "ml-1m.zip", {**FILES, **extra}, prefix)
    dataset = ask(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset == Dataset(
        name="ml-1m",
        folder=tmp_path / "work" / "ml-1m" / digest[:16],
        last_day=None,
        generated=False,
        noise_floor_rmse=None,
        origin=str(path),
    )
    assert _contents(dataset.folder) == {**FILES, "README": b"read me"}


def test_an_unchanged_zip_is_not_unpacked_again_and_a_changed_one_is(ask, tmp_path):
    path = _write_zip(tmp_path / "ml-1m.zip")
    first = ask(path).folder
    before = (first / "ratings.dat").stat()
    assert ask(path).folder == first
    assert (first / "ratings.dat").stat().st_ino == before.st_ino
    _write_zip(path, {**FILES, "ratings.dat": b"1::1::1::978300760\n"})
    second = ask(path).folder
    assert second != first
    assert (second / "ratings.dat").read_bytes() == b"1::1::1::978300760\n"


@pytest.mark.parametrize("damage", ["edited", "short", "gone"])
def test_a_damaged_unpacked_file_is_unpacked_again(ask, tmp_path, damage):
    path = _write_zip(tmp_path / "ml-1m.zip")
    ratings = ask(path).folder / "ratings.dat"
    if damage == "gone":
        ratings.unlink()
    else:
        content = FILES["ratings.dat"]
        ratings.write_bytes(content.replace(b"5", b"4") if damage == "edited" else content[:9])
    assert _contents(ask(path).folder) == FILES


def test_what_a_killed_extraction_left_is_ignored_and_cleared(ask, tmp_path):
    path = _write_zip(tmp_path / "ml-1m.zip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    parent = tmp_path / "work" / "ml-1m"
    half = _write_folder(parent / f".{digest}.partial", {"ratings.dat": b"1::1"})
    other = _write_folder(parent / ".0123456789abcdef.partial", {"ratings.dat": b"1::1"})
    assert _contents(ask(path).folder) == FILES
    assert not half.exists()
    assert not other.exists()


def test_an_extraction_killed_at_any_file_is_taken_up(tmp_path):
    """Kill a process in the middle of the extraction, as `kill -9` does, and ask again."""
    path = _write_zip(tmp_path / "ml-1m.zip")
    code = f"""
import os, shutil, signal
from pathlib import Path
from pipeline.dataset import archive, resolve
real = shutil.copyfileobj
def copy(source, target, length):
    if target.name.endswith("users.dat"):
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target, length)
archive.shutil.copyfileobj = copy
resolve.resolve({str(path)!r}, cache_dir=Path({str(tmp_path)!r}), work_dir=Path({str(tmp_path / "work")!r}),
                notify=print)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=env).returncode == -9
    assert [entry.name for entry in (tmp_path / "work" / "ml-1m").glob("[!.]*")] == []
    dataset = resolve(str(path), cache_dir=tmp_path, work_dir=tmp_path / "work", notify=print)
    assert _contents(dataset.folder) == FILES


def test_calls_at_the_same_time_wait_for_each_other(ask, tmp_path):
    path = _write_zip(tmp_path / "ml-1m.zip")
    parent = tmp_path / "work" / "ml-1m"
    parent.mkdir(parents=True)
    with resolve_module._locked(parent, print):
        thread = threading.Thread(target=ask, args=[path])
        thread.start()
        while not ask.notices:
            thread.join(0.01)
        assert ask.notices == [f"Waiting for another run that prepares data in {parent}."]
    thread.join()
    assert _contents(ask(path).folder) == FILES


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("ml-1m", "ml-1m"),
        ("my ratings (2)", "my-ratings-2"),
        ("données", "donnees"),
        ("電影", "data"),
        ("..x", "x"),
        ("generated-1m-seed7", "data-generated-1m-seed7"),
        ("-generated-x", "data-generated-x"),
    ],
)
def test_names_are_safe_and_real_data_never_look_generated(ask, tmp_path, stem, name):
    assert ask(_write_zip(tmp_path / f"{stem}.zip")).name == name
    assert ask(_write_folder(tmp_path / "folders" / stem)).name == name


def _generate(folder):
    return generated.generate(folder, ratings=300, users=10, movies=40, seed=5)


def test_a_generated_folder_is_known_wherever_it_lies(ask, tmp_path):
    marker = _generate(tmp_path / "ml-1m")
    assert ask(tmp_path / "ml-1m") == Dataset(
        name="generated-300x10x40-seed5",
        folder=tmp_path / "ml-1m",
        last_day=None,
        generated=True,
        noise_floor_rmse=marker.noise_floor_rmse,
        origin=str(tmp_path / "ml-1m"),
    )


def test_a_zipped_generated_folder_is_known_too(ask, tmp_path):
    marker = _generate(tmp_path / "made")
    dataset = ask(_write_zip(tmp_path / "ml-1m.zip", _contents(tmp_path / "made")))
    assert (dataset.name, dataset.generated) == ("generated-300x10x40-seed5", True)
    assert dataset.noise_floor_rmse == marker.noise_floor_rmse
    assert dataset.folder.parent == tmp_path / "work" / "generated-300x10x40-seed5"


def test_a_folder_of_days_is_used_where_it_lies(ask, tmp_path):
    folder = tmp_path / "daily"
    for day in ("2000-12-30", "2000-12-31"):
        _write_folder(folder / f"span-{day}")
    assert ask(folder) == Dataset(
        name="daily",
        folder=folder,
        last_day=datetime.date(2000, 12, 31),
        generated=False,
        noise_floor_rmse=None,
        origin=str(folder),
    )


def test_generated_days_are_known_and_have_a_name_and_no_floor_of_their_own(ask, tmp_path):
    _generate(tmp_path / "made")
    split_by_day(tmp_path / "made", tmp_path / "daily", report=lambda _: None)
    dataset = ask(tmp_path / "daily")
    assert (dataset.name, dataset.generated, dataset.noise_floor_rmse) == ("generated-daily", True, None)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "span-2000-02-30",
            "{path}: span-2000-02-30 is no day of the calendar: day is out of range for month.",
        ),
        ("span-20001231", "{path}: span-20001231 must be named like span-2000-12-31."),
        ("ratings.dat", "{path} holds ratings.dat and folders of days: remove one of them."),
    ],
)
def test_a_folder_of_days_that_is_misnamed_or_mixed_is_explained(ask, tmp_path, entry, message):
    folder = tmp_path / "daily"
    _write_folder(folder / "span-2000-12-31")
    if entry == "ratings.dat":
        _write_folder(folder)
    else:
        (folder / entry).mkdir()
    with pytest.raises(DatasetError) as error:
        ask(folder)
    assert str(error.value) == message.format(path=folder)


def test_an_edited_generated_folder_has_no_known_floor(ask, tmp_path):
    _generate(tmp_path / "made")
    with (tmp_path / "made" / "ratings.dat").open("a") as file:
        file.write("bad row\n")
    dataset = ask(tmp_path / "made")
    assert (dataset.generated, dataset.noise_floor_rmse) == (True, None)


def test_a_marker_cannot_take_generated_data_out_of_their_namespace(ask, tmp_path):
    _generate(tmp_path / "made")
    path = tmp_path / "made" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "../../ml-1m"}))
    assert ask(tmp_path / "made").name == "generated-ml-1m"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"generated": true}', "lacks a usable field ('noise_floor_rmse')"),
    ],
)
def test_a_damaged_marker_is_an_error(ask, tmp_path, text, message):
    folder = _write_folder(tmp_path / "ml-1m")
    (folder / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=re.escape(f"{folder}/dataset.json {message}")):
        ask(folder)


def test_a_negative_noise_floor_is_an_error(ask, tmp_path):
    _generate(tmp_path / "made")
    path = tmp_path / "made" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "noise_floor_rmse": -1.0}))
    with pytest.raises(DatasetError, match=r"has a noise_floor_rmse of -1\.0"):
        ask(tmp_path / "made")


def test_a_json_file_of_another_kind_makes_no_generated_dataset(ask, tmp_path):
    folder = _write_folder(tmp_path / "ml-1m")
    (folder / "dataset.json").write_text('{"title": "ours"}')
    assert ask(folder).generated is False


def _folder_case(change):
    return lambda path: _write_folder(
        path / "d", {k: v for k, v in {**FILES, **change}.items() if v is not None}
    )


def _two_folders(path):
    _write_folder(path / "d" / "a")
    return _write_folder(path / "d" / "b").parent


def _pipe(path):
    os.mkfifo(path / "d")
    return path / "d"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: path / "d",
            "{path}/d does not exist: DATA takes a folder, or a zip, that holds movies.dat, ratings.dat and "
            "users.dat.",
        ),
        (_pipe, "{path}/d is neither a file nor a folder: DATA takes a folder or a zip."),
        (
            _folder_case({"ratings.dat": None, "ratings.csv": b"1"}),
            "{path}/d holds no ratings.dat, itself or in a sub-folder; it holds movies.dat, ratings.csv and "
            "users.dat.",
        ),
        (
            lambda path: _write_folder(path / "d", {f"{i}.txt": b"" for i in range(9)}),
            "{path}/d holds no ratings.dat, itself or in a sub-folder; it holds 0.txt, 1.txt, 2.txt, 3.txt, "
            "4.txt and 4 more.",
        ),
        (
            lambda path: _write_folder(path / "d", {}),
            "{path}/d holds no ratings.dat, itself or in a sub-folder; it holds nothing.",
        ),
        (_folder_case({"movies.dat": None}), "{path}/d holds ratings.dat but no movies.dat: put it there."),
        (
            _folder_case({"users.dat": b""}),
            "{path}/d/users.dat is empty (0 bytes): copy or download it again.",
        ),
        (_two_folders, "{path}/d holds several datasets (a and b): name one."),
    ],
)
def test_a_folder_that_is_no_dataset_is_explained(ask, tmp_path, make, message):
    with pytest.raises(DatasetError) as error:
        ask(make(tmp_path))
    assert str(error.value) == message.format(path=tmp_path)


def _encrypted(path):
    file = _write_zip(path / "d.zip")
    content = bytearray(file.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of each member, APPNOTE 4.3
        for match in re.finditer(re.escape(magic), bytes(content)):
            content[match.start() + offset] |= 1
    file.write_bytes(content)
    return file


def _bytes_case(content):
    def make(path):
        (path / "d.zip").write_bytes(content)
        return path / "d.zip"

    return make


def _truncated(path):
    file = _write_zip(path / "d.zip")
    file.write_bytes(file.read_bytes()[:100])
    return file


def _wrong_crc(path):
    file = _write_zip(path / "d.zip")
    content = bytearray(file.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 16] ^= 1  # the CRC-32 of the first member, in the central directory
    content[14] ^= 1  # and in its local header
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_bytes_case(b""), "{path}/d.zip is empty (0 bytes): copy or download it again."),
        (
            _bytes_case(b"1::1::5::978300760\n"),
            "{path}/d.zip is no zip file: DATA takes a folder, or a zip, that holds movies.dat, ratings.dat "
            "and users.dat.",
        ),
        (
            _truncated,
            "{path}/d.zip is a truncated or damaged zip (File is not a zip file): copy or download it again.",
        ),
        (
            _wrong_crc,
            "{path}/d.zip is a truncated or damaged zip (Bad CRC-32 for file 'ml-1m/ratings.dat'): copy or "
            "download it again.",
        ),
        (_encrypted, "{path}/d.zip is encrypted: unpack it with its password and pass the folder."),
        (
            lambda path: _write_zip(path / "d.zip", {"a.txt": b"a"}),
            "{path}/d.zip holds no movies.dat, ratings.dat and users.dat, at its top or in one folder; it "
            "holds ml-1m/a.txt.",
        ),
        (
            lambda path: _write_zip(path / "d.zip", {k: v for k, v in FILES.items() if k != "users.dat"}, ""),
            "{path}/d.zip holds no users.dat, at its top or in one folder; it holds movies.dat and "
            "ratings.dat.",
        ),
        (
            lambda path: _write_zip(path / "d.zip", {}),
            "{path}/d.zip holds no movies.dat, ratings.dat and users.dat, at its top or in one folder; it "
            "holds nothing.",
        ),
        (
            lambda path: _write_zip(path / "d.zip", {**FILES, "movies.dat": b""}),
            "ml-1m/movies.dat in {path}/d.zip is empty (0 bytes): get the zip again.",
        ),
        (
            lambda path: _write_zip(
                path / "d.zip", {f"{d}/{k}": v for d in "ab" for k, v in FILES.items()}, ""
            ),
            "{path}/d.zip holds 2 datasets in different folders: unpack it and name one.",
        ),
    ],
)
def test_a_zip_that_is_no_dataset_is_explained(ask, tmp_path, make, message):
    with pytest.raises(DatasetError) as error:
        ask(make(tmp_path))
    assert str(error.value) == message.format(path=tmp_path)
    assert list((tmp_path / "work").rglob("*.dat")) == []


@pytest.mark.parametrize("prefix", ["../", "/", "/tmp/", "a/../", "a/b/", "..\\"])
def test_a_name_that_leads_elsewhere_is_not_followed(ask, tmp_path, prefix):
    path = _write_zip(tmp_path / "d.zip", prefix=prefix)
    with pytest.raises(DatasetError, match=r"holds no movies.dat, ratings.dat and users.dat, at its top"):
        ask(path)
    assert list(tmp_path.rglob("*.dat")) == []


def test_no_damage_to_a_zip_ends_in_another_error(ask, tmp_path):
    original = _write_zip(tmp_path / "good.zip").read_bytes()
    path = tmp_path / "d.zip"
    outcomes = set()
    for position in range(len(original)):
        for value in (original[position] ^ 0xFF, original[position] ^ 0x01):
            path.write_bytes(original[:position] + bytes([value]) + original[position + 1 :])
            try:
                outcomes.add(_contents(ask(path).folder) == FILES)
            except DatasetError:
                outcomes.add("error")
        path.write_bytes(original[:position])
        with pytest.raises(DatasetError):
            ask(path)
    # Bytes that no reader looks at, such as a time, may differ; wrong content never gets through.
    assert outcomes == {True, "error"}


def test_too_little_room_is_an_error_before_anything_is_written(ask, tmp_path, monkeypatch):
    path = _write_zip(tmp_path / "ml-1m.zip")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match=r"unpacks to 1\d\d bytes, but .*/work/ml-1m has 10 free"):
        ask(path)


def test_a_work_folder_that_cannot_be_made_is_an_error(tmp_path):
    path = _write_zip(tmp_path / "ml-1m.zip")
    (tmp_path / "work").write_text("a file")
    with pytest.raises(DatasetError, match=r"work/ml-1m cannot be written"):
        resolve(str(path), cache_dir=tmp_path, work_dir=tmp_path / "work", notify=print)


def test_without_data_movielens_is_downloaded_once_and_then_cached(ask, tmp_path, server, monkeypatch):
    content = _write_zip(server / "ml-1m.zip").read_bytes()
    monkeypatch.setattr(download, "MOVIELENS_MD5", hashlib.md5(content).hexdigest())
    first = ask()
    assert (first.name, first.generated) == ("ml-1m", False)
    assert first.origin == f"MovieLens 1M, downloaded from {download.MOVIELENS_URL}"
    assert _contents(first.folder) == FILES
    assert ask.notices == [f"Downloading MovieLens 1M from {download.MOVIELENS_URL}."]
    assert (tmp_path / "cache" / "ml-1m.zip").read_bytes() == content

    (server / "ml-1m.zip").unlink()
    second = ask()
    assert second.folder == first.folder
    assert second.origin == f"MovieLens 1M, cached from {download.MOVIELENS_URL}"
    assert len(ask.notices) == 1
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock", "ml-1m.zip"]


def test_an_empty_path_counts_as_none(ask, tmp_path, server, monkeypatch):
    content = _write_zip(server / "ml-1m.zip").read_bytes()
    monkeypatch.setattr(download, "MOVIELENS_MD5", hashlib.md5(content).hexdigest())
    assert ask("").name == "ml-1m"


def test_a_download_with_another_checksum_is_an_error_and_not_kept(ask, tmp_path, server, small_generator):
    _write_zip(server / "ml-1m.zip")
    with pytest.raises(
        DatasetError, match=r"does not have MovieLens 1M's md5 c4d9eecfca2ab87c1945afe126590906"
    ):
        ask()
    assert small_generator == []
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]
    assert ask.notices == [f"Downloading MovieLens 1M from {download.MOVIELENS_URL}."]


def test_a_cached_file_with_another_checksum_is_an_error(ask, tmp_path, small_generator):
    path = _write_zip(tmp_path / "cache" / "ml-1m.zip")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(DatasetError) as error:
        ask()
    assert str(error.value) == (
        f"{path} has md5 {md5}, but MovieLens 1M has c4d9eecfca2ab87c1945afe126590906: delete the file to "
        f"download it again, or pass it with DATA={path} if it is meant."
    )
    assert small_generator == []


def test_a_file_that_is_gone_from_the_server_is_an_error(ask, server, small_generator):
    with pytest.raises(
        DatasetError, match=r"/ml-1m.zip answered with HTTP status 404: download MovieLens 1M"
    ):
        ask()
    assert small_generator == []


def test_without_a_network_generated_data_are_used_and_said_to_be(
    ask, tmp_path, monkeypatch, small_generator
):
    monkeypatch.setattr(download, "_download", _unreachable)
    dataset = ask()
    assert dataset.name == "generated-1m-seed7"  # the patched sizes are this test's 1m
    assert dataset.generated is True
    assert dataset.folder == tmp_path / "cache" / "generated-1m-seed7"
    assert 0.6 < dataset.noise_floor_rmse < 1.0
    assert dataset.origin == (
        "generated with seed 7, as files.grouplens.org could not be reached (no connection)"
    )
    assert ask.notices[-1] == (
        "No MovieLens 1M: files.grouplens.org could not be reached (no connection). Using generated data of "
        "the same shape and format instead (300 ratings, seed 7); for real ratings pass DATA=<folder or zip>."
    )
    assert layout.read_marker(dataset.folder).ratings == 300

    assert ask() == dataset
    assert small_generator == [dataset.folder]
    # A cached folder that is not what this generator writes is made anew.
    (dataset.folder / "ratings.dat").write_text("1::1")
    assert ask() == dataset
    (dataset.folder / "dataset.json").write_text("")
    assert ask() == dataset
    with monkeypatch.context() as patch:
        patch.setattr(generated, "GENERATOR_VERSION", generated.GENERATOR_VERSION + 1)
        ask()
    assert len(small_generator) == 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ConnectionError("refused"), "no connection"),
        (requests.ConnectionError("Failed to resolve 'x'"), "its name does not resolve"),
        (requests.exceptions.ProxyError("Tunnel connection failed: 403"), "the proxy refuses"),
        (requests.ConnectTimeout(), "no answer in time"),
        (requests.ReadTimeout(), "no answer in time"),
        (requests.exceptions.SSLError(), "no trusted certificate"),
        (requests.exceptions.ChunkedEncodingError(), "the connection broke"),
    ],
)
def test_every_way_to_have_no_network_is_told_apart_from_bad_data(tmp_path, monkeypatch, error, reason):
    def get(*_, **__):
        raise error

    monkeypatch.setattr(requests, "get", get)
    monkeypatch.setattr(download, "_RETRIES", 0)
    with pytest.raises(download.UnreachableError) as unreachable:
        download.movielens_zip(tmp_path, print)
    assert str(unreachable.value) == f"files.grouplens.org could not be reached ({reason})"


@pytest.mark.parametrize("status", [403, 407, 502, 503, 504])
def test_a_refusing_gateway_counts_as_no_network(tmp_path, monkeypatch, status):
    response = requests.Response()
    response.status_code = status
    monkeypatch.setattr(requests, "get", lambda *_, **__: response)
    monkeypatch.setattr(download, "_RETRIES", 0)
    with pytest.raises(download.UnreachableError, match=rf"\(HTTP status {status}\)"):
        download.movielens_zip(tmp_path, print)


def test_a_closed_port_counts_as_no_network(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "MOVIELENS_URL", "http://127.0.0.1:9/ml-1m.zip")
    with pytest.raises(download.UnreachableError, match=r"127.0.0.1 could not be reached \(no connection\)"):
        download.movielens_zip(tmp_path, print)


def test_what_a_killed_download_left_is_cleared(ask, tmp_path, server, monkeypatch):
    content = _write_zip(server / "ml-1m.zip").read_bytes()
    monkeypatch.setattr(download, "MOVIELENS_MD5", hashlib.md5(content).hexdigest())
    _write_folder(tmp_path / "cache" / ".download", {"tmp1": b"half", "ml-1m.zip": b"half"})
    assert _contents(ask().folder) == FILES
    assert not (tmp_path / "cache" / ".download").exists()


def test_it_starts_without_the_heavy_libraries():
    code = """
import sys
import pipeline.dataset.resolve
heavy = {"tfx", "tensorflow", "apache_beam", "keras", "pooch", "requests"} & set(sys.modules)
sys.exit(", ".join(sorted(heavy)) or 0)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
