"""Drawings of models."""

import shutil
import sys
from pathlib import Path
from typing import Final

import keras

PROGRAM: Final = "graphviz-pure"
FORMATS: Final = ("png", "svg")


def plot_model(model: keras.Model, path: Path) -> None:
    """Draw a model's layers with their names, activations, and input and output shapes.

    Args:
        model: A model that is built.
        path: File to write, in an existing folder; its suffix, `.png` or `.svg`, is the format.

    Raises:
        ValueError: Another suffix.
        FileNotFoundError: The program that draws is not installed.
    """
    file_format = path.suffix.removeprefix(".")
    if file_format not in FORMATS:
        raise ValueError(f"`path` must end in .png or .svg, got {path}")
    dot = keras.utils.model_to_dot(
        model, show_shapes=True, show_layer_activations=True, rankdir="LR", dpi=96, splines="spline"
    )
    dot.set("concentrate", False)
    dot.set("ranksep", 0.3)
    dot.set("nodesep", 0.15)
    dot.write(str(path), prog=_program(), format=file_format)


def _program() -> str:
    """Find the program in the environment of this interpreter, else on the PATH."""
    program = shutil.which(PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(PROGRAM)
    if program is None:
        raise FileNotFoundError(f"{PROGRAM} is neither beside {sys.executable} nor on the PATH")
    return program
