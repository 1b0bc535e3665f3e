import concurrent.futures
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving import errors, versions


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "export"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "manifest.json").write_text('{"rmse": 0.85, "fingerprint": "old"}')
    return folder


@pytest.fixture
def base_path(tmp_path):
    return tmp_path / "serving" / "deepfm"


def _files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_there(tmp_path):
    assert versions.versions(tmp_path / "none") == []
    assert versions.latest(tmp_path / "none") is None
    assert versions.latest(tmp_path) is None


def test_complete_versions_only(tmp_path):
    for name in ("10", "9", "11", "007", "1.5", "x", ".incoming-1"):
        (tmp_path / name).mkdir()
        if name != "11":
            (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "12").touch()
    assert versions.versions(tmp_path) == [9, 10]
    assert versions.latest(tmp_path) == 10


def test_publish_copies_everything(model_dir, base_path):
    assert versions.publish(model_dir, base_path, fingerprint="a", entries={versions.PUBLICATION: "p1"}) == 1
    published = _files(base_path / "1")
    assert json.loads(published.pop("assets.extra/manifest.json")) == {
        "rmse": 0.85,
        "fingerprint": "a",
        "publication": "p1",
    }
    original = _files(model_dir)
    del original["assets.extra/manifest.json"]
    assert published == original
    assert versions.manifest(base_path, 1)["publication"] == "p1"
    assert versions.publish(model_dir, base_path, fingerprint="b") == 2
    assert versions.versions(base_path) == [1, 2]


def test_publish_is_idempotent(model_dir, base_path):
    assert versions.publish(model_dir, base_path, fingerprint="a") == 1
    assert versions.publish(model_dir, base_path, fingerprint="a") == 1
    assert versions.versions(base_path) == [1]


def test_the_publication_is_known_while_it_is_the_latest(model_dir, base_path):
    assert versions.publication(base_path, "a") is None
    versions.publish(model_dir, base_path, fingerprint="a", entries={versions.PUBLICATION: "p1"})
    assert versions.publish(model_dir, base_path, fingerprint="a", entries={versions.PUBLICATION: "p2"}) == 1
    assert versions.publication(base_path, "a") == "p1"
    assert versions.publication(base_path, "b") is None
    versions.publish(model_dir, base_path, fingerprint="b", entries={versions.PUBLICATION: "p3"})
    assert versions.publication(base_path, "a") is None
    (base_path / "2" / versions.MANIFEST).write_text("{")
    assert versions.publication(base_path, "b") is None


def test_what_is_published_last_is_the_latest(model_dir, base_path):
    assert versions.publish(model_dir, base_path, fingerprint="a") == 1
    assert versions.publish(model_dir, base_path, fingerprint="b") == 2
    assert versions.publish(model_dir, base_path, fingerprint="a") == 3
    assert versions.latest(base_path) == 3


def test_the_content_fingerprint_follows_names_and_contents(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    before = versions.content_fingerprint(tmp_path)
    assert versions.content_fingerprint(tmp_path) == before
    (tmp_path / "a").write_bytes(b"2")
    assert versions.content_fingerprint(tmp_path) != before
    (tmp_path / "a").write_bytes(b"1")
    assert versions.content_fingerprint(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "variables" / "a")
    assert versions.content_fingerprint(tmp_path) != before


def test_a_number_is_never_used_again(model_dir, base_path, tmp_path):
    versions.publish(model_dir, base_path, fingerprint="a")
    versions.publish(model_dir, base_path, fingerprint="b")
    (base_path / "2").rename(tmp_path / "removed")
    assert versions.publish(model_dir, base_path, fingerprint="c") == 3
    (base_path / "7" / "half").mkdir(parents=True)  # incomplete, and in the way all the same
    assert versions.publish(model_dir, base_path, fingerprint="d") == 8


def test_a_number_taken_meanwhile(model_dir, base_path, monkeypatch):
    rename = Path.rename

    def taken_first(self, target):
        if Path(target).name in ("1", "2"):
            Path(target, "other").mkdir(parents=True)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", taken_first)
    assert versions.publish(model_dir, base_path, fingerprint="a") == 3
    assert versions.versions(base_path) == [3]


def test_publishers_at_the_same_time(model_dir, base_path):
    def publish(fingerprint):
        return versions.publish(model_dir, base_path, fingerprint=fingerprint)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(publish, ["same"] * 8)) == [1] * 8
        published = list(pool.map(publish, [str(index) for index in range(8)]))
    assert sorted(published) == list(range(2, 10))
    assert versions.versions(base_path) == list(range(1, 10))
    for index, version in enumerate(published):
        assert versions.manifest(base_path, version)["fingerprint"] == str(index)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_in_the_middle(model_dir, base_path, moment):
    code = f"""
import os, pathlib, signal
from serving import versions
rename = pathlib.Path.rename
def die(self, target):
    if {moment!r} == "after":
        rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.rename = die
versions.publish({str(model_dir)!r}, {str(base_path)!r}, fingerprint="a")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert versions.versions(base_path) == ([1] if moment == "after" else [])
    assert len(list(base_path.glob(".incoming-*"))) == (0 if moment == "after" else 1)
    assert versions.publish(model_dir, base_path, fingerprint="a") == 1
    assert versions.versions(base_path) == [1]
    assert list(base_path.glob(".incoming-*")) == []


def test_a_failed_copy_leaves_nothing(model_dir, base_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        versions.publish(model_dir, base_path, fingerprint="a")
    monkeypatch.undo()
    assert [path.name for path in base_path.iterdir()] == [".publish.lock"]


def test_publish_refuses(tmp_path, model_dir, base_path):
    with pytest.raises(errors.ModelNotFound, match=r"is not a SavedModel: it has no saved_model\.pb"):
        versions.publish(tmp_path, base_path, fingerprint="a")
    with pytest.raises(ValueError, match="`fingerprint` must not be empty"):
        versions.publish(model_dir, base_path, fingerprint="")
    assert not base_path.exists()


def test_manifests_of_others(base_path, model_dir):
    (base_path / "1").mkdir(parents=True)
    with pytest.raises(errors.ModelNotFound, match=r"no version 1 in .*; versions there: none"):
        versions.manifest(base_path, 1)
    (base_path / "1" / "saved_model.pb").touch()
    assert versions.manifest(base_path, 1) == {}
    (base_path / "1" / "assets.extra").mkdir()
    (base_path / "1" / "assets.extra" / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold a JSON object, got list"):
        versions.manifest(base_path, 1)
    assert versions.publish(model_dir, base_path, fingerprint="a") == 2
