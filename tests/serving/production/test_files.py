import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.production import compose, kubernetes, model_server
from serving.production.files import write

FILES = [
    "batching.config",
    "compose.yaml",
    "kubernetes/configmap.yaml",
    "kubernetes/deployment.yaml",
    "kubernetes/horizontalpodautoscaler.yaml",
    "kubernetes/poddisruptionbudget.yaml",
    "kubernetes/service-headless.yaml",
    "kubernetes/service.yaml",
    "models.config",
    "monitoring.config",
]
ROOT = Path(__file__).parents[3]
README = Path(model_server.__file__).with_name("README.md").read_text(encoding="utf-8")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_it_writes_these_files_and_no_other(config, tmp_path):
    written = write(config, tmp_path / "new" / "folder")
    assert written == [tmp_path / "new" / "folder" / name for name in FILES]
    assert sorted(contents(tmp_path / "new" / "folder")) == FILES


def test_the_yaml_holds_what_was_meant(config, tmp_path):
    write(config, tmp_path)
    assert yaml.safe_load((tmp_path / "compose.yaml").read_text()) == compose.compose(config)
    for name, made in kubernetes.manifests(config).items():
        text = (tmp_path / "kubernetes" / name).read_text()
        assert yaml.safe_load(text) == made
        assert not re.search(r"[&*]id0", text), "an alias, which nobody would read"
    assert (
        "  monitoring.config: |\n    prometheus_config {\n"
        in (tmp_path / "kubernetes" / "configmap.yaml").read_text()
    )


def test_the_output_is_deterministic(config, tmp_path):
    write(config, tmp_path / "one")
    write(dataclasses.replace(config), tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_files_are_replaced_atomically(config, tmp_path, monkeypatch):
    write(config, tmp_path)
    before = contents(tmp_path)
    opened = (tmp_path / "models.config").open("rb")

    def crash(descriptor):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(OSError, match="the disk is full"):
            write(dataclasses.replace(config, stable=14), tmp_path)
    after = contents(tmp_path)
    assert {name: after[name] for name in FILES} == before

    write(dataclasses.replace(config, stable=14), tmp_path)
    with opened:
        assert opened.read() == before["models.config"]
    assert b"versions: 14" in (tmp_path / "models.config").read_bytes()
    assert sorted(contents(tmp_path)) == FILES


def test_a_file_that_is_not_needed_any_more_is_removed(config, tmp_path):
    write(config, tmp_path)
    written = write(dataclasses.replace(config, batching=None), tmp_path)
    assert sorted(contents(tmp_path)) == [name for name in FILES if name != "batching.config"]
    assert tmp_path / "batching.config" not in written


def test_the_server_may_read_them_whoever_wrote_them(config, tmp_path):
    previous = os.umask(0o077)
    try:
        written = write(config, tmp_path)
    finally:
        os.umask(previous)
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644}


def test_a_serving_folder_is_left_alone(config, tmp_path):
    (tmp_path / "deepfm").mkdir()
    (tmp_path / "models.config").write_text("labels")
    with pytest.raises(ValueError, match=r"`folder` must not be a serving folder, got .* holds deepfm/"):
        write(config, tmp_path)
    assert (tmp_path / "models.config").read_text() == "labels"


def test_the_readme_names_every_file_and_only_real_flags(config):
    assert sorted(re.findall(r"^\| `([a-z./-]+)`", README, re.MULTILINE)) == FILES
    flags = {argument.removeprefix("--").split("=")[0] for argument in model_server.arguments(config)}
    assert set(re.findall(r"--([a-z]+_[a-z_]+)", README)) <= flags


def test_the_readme_example_writes_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert sorted(contents(tmp_path / "production")) == [name for name in FILES if name != "batching.config"]


def test_it_needs_no_tensorflow():
    code = "import serving.production.files, sys; print('tensorflow' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]
