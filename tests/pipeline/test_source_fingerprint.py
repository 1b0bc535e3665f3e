import hashlib
import shutil
from pathlib import Path

import pytest

import pipeline.source_fingerprint
from pipeline.source_fingerprint import source_fingerprint

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "components", "serving", "schema")


@pytest.fixture(autouse=True)
def fresh_cache():
    source_fingerprint.cache_clear()
    yield
    source_fingerprint.cache_clear()


@pytest.fixture
def use_root(monkeypatch):
    """Take modules from another folder."""
    return lambda folder: monkeypatch.setattr(pipeline.source_fingerprint, "_ROOT", folder)


@pytest.fixture
def project(tmp_path, use_root):
    """Copy the project's packages, for a test to edit."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    use_root(tmp_path)
    return tmp_path


def _fingerprint(module):
    source_fingerprint.cache_clear()
    return source_fingerprint(module)


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_it_is_the_hash_of_names_and_contents(tmp_path, use_root, monkeypatch):
    module = "import os\n\nfrom schema.names import UID\n"
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").write_text("")
    (tmp_path / "components" / "gate.py").write_text(module)
    (tmp_path / "components" / "gate.txt").write_text("words\n")
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "__init__.py").write_text("")
    (tmp_path / "schema" / "names.py").write_text('UID = "uid"\n')
    (tmp_path / "schema" / "schema.pbtxt").write_text("feature {}\n")
    use_root(tmp_path)
    monkeypatch.setattr(pipeline.source_fingerprint, "_LIBRARIES", ("tfx",))
    monkeypatch.setattr(pipeline.source_fingerprint.metadata, "version", lambda _: "1.21.0")
    uid = 'UID = "uid"\n'
    assert source_fingerprint("components.gate") == _sha256(
        f"components {_sha256('')}\n"
        f"components.gate {_sha256(module)}\n"
        f"schema {_sha256('')}\n"
        f"schema.names {_sha256(uid)}\n"
        f"components/gate.txt {_sha256('words' + chr(10))}\n"
        "tfx 1.21.0\n"
    )


def test_a_copy_of_the_sources_has_the_fingerprint_of_the_original(project, use_root):
    copy = _fingerprint("components.trainer.run_fn")
    use_root(ROOT)
    assert _fingerprint("components.trainer.run_fn") == copy


@pytest.mark.parametrize(
    ("module", "edited"),
    [
        ("components.trainer.run_fn", "components/trainer/run_fn.py"),
        ("components.trainer.run_fn", "components/trainer/batches.py"),
        ("components.trainer.run_fn", "components/deepfm/second_order.py"),
        ("components.trainer.run_fn", "schema/features.py"),
        ("components.data_gate.component", "components/data_gate/executor.py"),
        ("components.data_gate.component", "components/errors.py"),
        ("components.pusher.executor", "serving/versions.py"),
        ("components.model_report.component", "components/model_report/report.html.jinja"),
        ("components.model_report.component", "components/model_report/model_card.md.jinja"),
        ("schema.features", "schema/schema.pbtxt"),
    ],
)
def test_an_edit_of_what_a_module_uses_changes_it(project, module, edited):
    before = _fingerprint(module)
    path = project / edited
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    assert _fingerprint(module) != before
    path.write_bytes(content)
    assert _fingerprint(module) == before


@pytest.mark.parametrize(
    ("module", "edited"),
    [
        ("components.trainer.run_fn", "pipeline/graph.py"),
        ("components.trainer.run_fn", "components/data_gate/executor.py"),
        ("components.trainer.run_fn", "components/model_report/report.html.jinja"),
        ("components.data_gate.component", "components/deepfm/model.py"),
        ("components.data_gate.component", "schema/schema.pbtxt"),
        ("components.trainer.run_fn", "schema/schema.pbtxt"),
        ("components.transform.preprocessing", "components/trainer/run_fn.py"),
        ("components.pusher.executor", "serving/client/client.py"),
    ],
)
def test_an_edit_elsewhere_does_not(project, module, edited):
    before = _fingerprint(module)
    with (project / edited).open("a") as file:
        file.write("\n")
    assert _fingerprint(module) == before


def test_a_new_file_beside_a_module_changes_it_unless_hidden(project):
    before = _fingerprint("components.model_report.component")
    (project / "components" / "model_report" / ".style.css.swp").write_text("x")
    (project / "components" / "model_report" / "__pycache__").mkdir()
    (project / "components" / "model_report" / "__pycache__" / "render.pyc").write_text("x")
    (project / "components" / "model_report" / "unused.py").write_text("x = 1\n")
    assert _fingerprint("components.model_report.component") == before
    (project / "components" / "model_report" / "style.css").write_text("x")
    assert _fingerprint("components.model_report.component") != before


def test_an_import_within_a_function_counts(project):
    path = project / "components" / "data_gate" / "executor.py"
    path.write_text(path.read_text() + "\n\ndef late():\n    from components.deepfm import gmf\n")
    before = _fingerprint("components.data_gate.component")
    (project / "components" / "deepfm" / "gmf.py").write_text("")
    assert _fingerprint("components.data_gate.component") != before


def test_modules_that_import_each_other_are_no_endless_loop(tmp_path, use_root):
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "__init__.py").write_text("")
    (tmp_path / "serving" / "a.py").write_text("import serving.b\n")
    (tmp_path / "serving" / "b.py").write_text("import serving.a\n")
    use_root(tmp_path)
    assert _fingerprint("serving.a") == _fingerprint("serving.b")


@pytest.mark.parametrize("library", ["keras", "numba", "numpy", "scipy"])
def test_another_version_of_a_main_library_changes_it(monkeypatch, library):
    before = _fingerprint("schema.features")
    version = pipeline.source_fingerprint.metadata.version
    monkeypatch.setattr(
        pipeline.source_fingerprint.metadata,
        "version",
        lambda name: "99.0" if name == library else version(name),
    )
    assert _fingerprint("schema.features") != before


def test_it_is_a_sha256_and_the_same_when_asked_again():
    first = _fingerprint("schema.features")
    assert len(bytes.fromhex(first)) == 32
    assert _fingerprint("schema.features") == first


@pytest.mark.parametrize("module", ["components.absent", "absent", "components.deepfm.model.DeepFM"])
def test_an_unknown_module_is_an_error(module):
    with pytest.raises(FileNotFoundError, match=f"^{module} is no module of {ROOT}$"):
        source_fingerprint(module)
