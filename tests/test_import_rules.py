import ast
import graphlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schema import features

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "components", "serving", "schema")  # each imports only those after it

NAMES = {
    name
    for feature in features.EXAMPLE
    for name in (feature.name, feature.index_name, feature.z_score_name, feature.vocabulary_name)
}
FEATURES_FILE = "schema/features.py"
NO_FEATURE = {
    # Arguments of `Client.rank` that an error names.
    ("serving/client/logic.py", "uid"),
    ("serving/client/logic.py", "timestamp"),
}


def _files(package):
    return sorted((ROOT / package).rglob("*.py"))


def _imports(tree):
    """Yield the top-level package of each import, at any depth of the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import: {ast.unparse(node)}"
            yield node.module.split(".")[0]


def _constants(tree):
    """Yield the string constants that are no docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _brought_in(module):
    """Return the top-level modules that a fresh interpreter loads for an import."""
    code = f"""
import json, sys
before = set(sys.modules)
import {module}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_packages_import_only_to_the_right():
    arrows = {}
    for package in PACKAGES:
        for path in _files(package):
            for imported in set(_imports(ast.parse(path.read_text(encoding="utf-8")))) & set(PACKAGES):
                arrows.setdefault((package, imported), []).append(path.relative_to(ROOT).as_posix())
    leftwards = {
        arrow: files for arrow, files in arrows.items() if PACKAGES.index(arrow[0]) > PACKAGES.index(arrow[1])
    }
    assert leftwards == {}
    assert {arrow for arrow in arrows if arrow[0] != arrow[1]} == {
        ("pipeline", "components"),
        ("pipeline", "serving"),
        ("pipeline", "schema"),
        ("components", "serving"),
        ("components", "schema"),
        ("serving", "schema"),
    }


def test_components_import_each_other_in_no_circle():
    arrows = {}
    for path in _files("components"):
        package = path.relative_to(ROOT / "components").with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "components":
                names = [f"{node.module}.{alias.name}".split(".")[1] for alias in node.names]
                arrows.setdefault(package, set()).update({*names} - {package})
    assert arrows["fit_config"] == {"gibbs", "trainer"}
    assert len([*graphlib.TopologicalSorter(arrows).static_order()]) >= len(
        arrows
    )  # CycleError if there is one


def test_no_package_imports_the_tests():
    for package in PACKAGES:
        for path in _files(package):
            assert "tests" not in set(_imports(ast.parse(path.read_text(encoding="utf-8")))), path


def test_features_need_the_standard_library_alone():
    brought_in = _brought_in("schema.features")
    assert "schema" in brought_in
    assert brought_in - sys.stdlib_module_names - {"schema", "tensorflow_metadata", "google"} == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (
            "serving.client",
            {"tensorflow", "tfx", "tfx_bsl", "apache_beam", "tensorflow_transform"},
        ),
        ("pipeline.cli", {"tensorflow", "tfx", "apache_beam", "keras", "numpy"}),
    ],
)
def test_what_a_person_starts_leaves_the_heavy_libraries_out(module, absent):
    brought_in = _brought_in(module)
    assert {module.split(".")[0], "schema"} <= brought_in
    assert brought_in & absent == set()


def test_feature_names_are_spelled_in_one_file():
    spelled = {
        (path.relative_to(ROOT).as_posix(), constant)
        for package in PACKAGES
        for path in _files(package)
        for constant in _constants(ast.parse(path.read_text(encoding="utf-8")))
        if constant in NAMES
    }
    names = {feature.name for feature in features.EXAMPLE}
    assert {constant for path, constant in spelled if path == FEATURES_FILE} == names
    assert {found for found in spelled if found[0] != FEATURES_FILE} == NO_FEATURE
