"""How every plot of the project is drawn."""

from typing import Any, Final

SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "deepfm",  # the same figure gives the same bytes
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
}
"""For `matplotlib.rc_context`."""
