"""Identity of the code that a node runs."""

import ast
import functools
import hashlib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("pipeline", "components", "serving", "schema")
_LIBRARIES = (
    "tfx",
    "tensorflow",
    "keras",
    "keras-tuner",
    "numba",
    "numpy",
    "scipy",
    "apache-beam",
    "tensorflow-transform",
    "tensorflow-model-analysis",
)


@functools.cache
def source_fingerprint(*modules: str) -> str:
    """Return a SHA-256, as hex, of modules and all of the project that they import.

    Versions of the main libraries count too, and the files that lie beside the modules themselves (not
    beside what they import) and are no modules: the reviewed schema, the templates.

    Args:
      *modules: dotted names of modules of this project.

    Raises:
      FileNotFoundError: there is no such module.
    """
    files: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        files[name] = _file(name)
        package = name.rpartition(".")[0]
        waiting += [*_imports(files[name]), *([package] if package else [])]
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for path in sorted(_beside(files[module] for module in modules)):
        name = path.relative_to(_ROOT).as_posix()
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}\n".encode())
    return digest.hexdigest()


def _file(module: str) -> Path:
    path = _ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"{module} is no module of {_ROOT}")


def _beside(modules: Iterable[Path]) -> set[Path]:
    """Return the data files in the folders of modules; their documents say nothing to the code."""
    return {
        path
        for folder in {module.parent for module in modules}
        for path in folder.iterdir()
        if path.is_file() and path.suffix not in (".py", ".md") and not path.name.startswith(".")
    }


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
