"""How the level of a user's ratings drifts."""

import numpy as np

from components.gibbs.kernels import sample_paths
from components.gibbs.moments import Moments, Steps

_VARIANCE = 0.02  # of each process before it is drawn, in square stars
_RATE = 0.01  # of the variances' inverse gamma prior, in square stars
_STAGE_PRECISION = 25.0  # of the prior of what a stage adds, per square star


class Drift:
    """Draws the drift of each user's ratings, given what else is said of them.

    Formula:
        d_u(t) = slope * log(1 + days since the user's first rating) + f[stage] + sum over c of x_uc(t),
        where x_uc is an Ornstein-Uhlenbeck process with the time constant `seconds[c]` and a variance of its
        own; `stage_of` how many ratings the user gave before; the mean of f over all ratings is 0

    New users are shown what many have seen, and rate it lower than what they look for later; the bias of one
    who has given few ratings would hold that against the others.

    Args:
      moments: of the rows.
      rng: source of the draws.

    Reference:
      Yu and Meng 2011, To Center or Not to Center, https://doi.org/10.1198/jcgs.2011.203main, on drawing a
      variance twice: given the path, and given the path's form; where the noise is as large as here, the
      first alone hardly moves.
    """

    def __init__(self, moments: Moments, rng: np.random.Generator) -> None:
        self._moments = moments
        self._rng = rng
        self.slope = self.slope_mean = 0.0
        self.stages = np.zeros(len(moments.stage_shares))  # f, in stars
        self.stage_means = self.stages  # of f, given all else
        self.variances = [_VARIANCE] * len(moments.steps)
        self._paths = np.zeros((len(moments.steps), len(moments.ratings)))
        self.means = np.zeros_like(self._paths)  # of the paths, given all else

    def draw(self, residuals: np.ndarray, precisions: np.ndarray) -> np.ndarray:
        """Draw slope, stages, paths and variances; return the drift of each row.

        Args:
          residuals: float32[n], what drift and noise have to explain, in stars.
          precisions: float32[n], of the noise.

        Returns:
          float32[n], in stars.
        """
        moments = self._moments
        before = self.stages[moments.stage]
        rest = residuals - self._paths.sum(axis=0)
        rest -= before
        weighted = precisions * moments.tenure
        precision = 1.0 + float(weighted @ moments.tenure)
        self.slope_mean = float(weighted @ rest) / precision
        self.slope = self.slope_mean + self._rng.normal() / np.sqrt(precision)
        rest -= self.slope * moments.tenure
        rest += before
        self._draw_stages(rest, precisions)
        rest -= self.stages[moments.stage]
        for c, steps in enumerate(moments.steps):
            rest += self._paths[c]
            sample_paths(
                moments.ratings.of_user,
                steps.decays,
                rest,
                precisions,
                self.variances[c],
                self._rng.normal(size=len(rest)),
                self.means[c],
                self._paths[c],
            )
            self.variances[c] = self._draw_variance(self._paths[c], steps)
            self._draw_scale(c, rest, precisions)
            rest -= self._paths[c]
        return (residuals - rest).astype(np.float32)

    def _draw_stages(self, rest: np.ndarray, precisions: np.ndarray) -> None:
        """Draw what the stages add, given that its mean over all ratings is 0."""
        stage, shares, bins = self._moments.stage, self._moments.stage_shares, len(self.stages)
        variances = 1 / (_STAGE_PRECISION + np.bincount(stage, precisions, bins))
        free = variances * np.bincount(stage, precisions * rest, bins)
        drawn = free + np.sqrt(variances) * self._rng.normal(size=bins)
        spread = variances * shares
        self.stage_means, self.stages = (
            stages - spread * (shares @ stages) / (shares @ spread) for stages in (free, drawn)
        )

    def _draw_variance(self, path: np.ndarray, steps: Steps) -> float:
        """Draw a process's variance given its path, whose steps are normal and independent."""
        new = path.copy()
        new[1:] -= steps.decays[1:] * path[:-1]
        new = new[steps.moving]
        squares = np.sum(new**2 / steps.variances)
        return (_RATE + squares / 2) / self._rng.gamma(1 + len(new) / 2)

    def _draw_scale(self, c: int, rest: np.ndarray, precisions: np.ndarray) -> None:
        """Draw a process's standard deviation given its path but for the scale.

        What is proposed is drawn by the residuals alone, float64[n], and taken by the prior's odds.
        """
        scale = np.sqrt(self.variances[c])
        form = self._paths[c] / scale
        weighted = precisions * form
        precision = float(weighted @ form)
        proposed = float(weighted @ rest) / precision + self._rng.normal() / np.sqrt(precision)
        if proposed > 0 and np.log(self._rng.random()) < _log_prior(proposed) - _log_prior(scale):
            np.multiply(proposed, form, out=self._paths[c])
            self.variances[c] = proposed**2


def _log_prior(scale: float) -> float:
    """Return the log density of a standard deviation whose square is inverse gamma, up to a constant."""
    return float(-3 * np.log(scale) - _RATE / scale**2)
