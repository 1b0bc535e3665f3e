"""The measure of a fit."""

import numpy as np


def rmse(errors: np.ndarray) -> float:
    """Return the root of the mean square of float[n]."""
    return float(np.sqrt(np.mean(errors.astype(np.float64) ** 2)))
