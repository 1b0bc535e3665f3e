import shutil
from pathlib import Path

import pytest

from components.model_report.artifacts import CARD_FILE, REPORT_FILE
from pipeline import source_fingerprint

ROOT = Path(__file__).parents[3]
MODULE = "components.model_report.component"


@pytest.fixture
def copied_sources(tmp_path, monkeypatch):
    for package in ("pipeline", "components", "serving", "schema"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_fingerprint, "_ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [REPORT_FILE, CARD_FILE])
def test_an_edited_template_makes_the_node_run_again(copied_sources, name):
    fingerprint = source_fingerprint.source_fingerprint.__wrapped__
    before, others = fingerprint(MODULE), fingerprint("components.data_gate.component")
    template = copied_sources / "components" / "model_report" / f"{name}.jinja"
    template.write_text(template.read_text().replace("a", "b", 1))
    assert fingerprint(MODULE) != before
    assert fingerprint("components.data_gate.component") == others
