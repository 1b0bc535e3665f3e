"""Identity of the code that a node runs."""

import ast
import functools
import hashlib
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("pipeline", "components", "serving", "schema")
_LIBRARIES = (
    "tfx",
    "tensorflow",
    "keras",
    "apache-beam",
    "tensorflow-transform",
    "tensorflow-model-analysis",
)


@functools.cache
def source_fingerprint(module: str) -> str:
    """Return a SHA-256, as hex, of a module and all of the project that it imports.

    Versions of the main libraries count too, and of `schema` the reviewed schema.

    Args:
      module: dotted name of a module of this project.

    Raises:
      FileNotFoundError: there is no such module.
    """
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        files[name] = _file(name)
        waiting += [found for found in _imports(files[name]) if found not in files]
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    if any(name.startswith("schema") for name in files):
        digest.update((_ROOT / "schema" / "schema.pbtxt").read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}\n".encode())
    return digest.hexdigest()


def _file(module: str) -> Path:
    path = _ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{module} is no module of {_ROOT}")


def _imports(path: Path) -> set[str]:
    """Return the project's modules that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    own = {name for name in names if name.split(".")[0] in _PACKAGES}
    return {name for name in own if _exists(name)}


def _exists(module: str) -> bool:
    path = _ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
