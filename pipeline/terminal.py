"""What the commands print, and how: plain words, whatever the words hold."""

import typer
from rich.console import Console

console = Console(emoji=False)
wide = Console(emoji=False, width=1000)
"""For tables whose rows stay whole, on a narrow terminal and in a file too."""
errors = Console(stderr=True, emoji=False)


def say(message: str) -> None:
    """Print a line."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def stop(message: str, status: int = 1) -> typer.Exit:
    """Print why a command cannot go on; return the exit to raise."""
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(status)
