"""What the commands print, and how: plain words, whatever the words hold."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import typer
from rich.console import Console

console = Console(emoji=False)
errors = Console(stderr=True, emoji=False)


def say(message: str) -> None:
    """Print a line."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def stop(message: str) -> typer.Exit:
    """Print why a command cannot go on; return the exit to raise."""
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(1)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Keep off the terminal what TensorFlow writes while it is imported, unless that fails.

    No log level stops all of it (https://github.com/tensorflow/tensorflow/issues/100442).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(terminal, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
