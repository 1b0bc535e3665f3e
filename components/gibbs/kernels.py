"""The loops of a sweep, compiled by Numba: one row of a table or one user after the other, on all cores.

Each row is written by one thread and read by none, so results do not depend on the number of threads. The
vocabularies begin with those who have the most ratings. So of n threads each takes every n-th row: with runs
of rows, the first thread would have nearly all of the work.
"""

import numba
import numpy as np


@numba.njit(parallel=True)
def sample_rows(
    offsets: np.ndarray,
    others: np.ndarray,
    residuals: np.ndarray,
    precisions: np.ndarray,
    factors: np.ndarray,
    prior_means: np.ndarray,
    prior_precision: np.ndarray,
    noise: np.ndarray,
    mean: np.ndarray,
    sample: np.ndarray,
) -> None:
    """Draw the vectors of all users given those of all movies, or the other way round.

    Formula:
        v ~ N(H^-1 h, H^-1), H = L + sum_i a_i x_i x_i', h = L m + sum_i a_i r_i x_i over a row's ratings i

    Args:
      offsets: int64[rows + 1], where each row's ratings begin.
      others: int32[n], which factor each rating is of.
      residuals: float32[n], r: what the vectors have to explain, in stars.
      precisions: float32[n], a: of the noise of each rating.
      factors: float32[others, d], x.
      prior_means: float64[rows, d], m.
      prior_precision: float64[d, d], L.
      noise: float64[rows, d], standard normal draws.
      mean: float32[rows, d], gets H^-1 h.
      sample: float32[rows, d], gets the draw.
    """
    d = factors.shape[1]
    threads = numba.get_num_threads()
    for thread in numba.prange(threads):
        for row in range(thread, len(offsets) - 1, threads):
            first, end = offsets[row], offsets[row + 1]
            plain = np.empty((end - first, d), np.float32)
            weighted = np.empty((end - first, d), np.float32)
            h = np.dot(prior_precision, prior_means[row])
            for i in range(first, end):
                other, precision = others[i], precisions[i]
                pull = precision * residuals[i]
                for c in range(d):
                    x = factors[other, c]
                    plain[i - first, c] = x
                    weighted[i - first, c] = precision * x
                    h[c] += pull * x
            lower = np.linalg.cholesky(prior_precision + np.dot(plain.T, weighted))
            # L z = h, then L' v = z for the mean and L' v = z + noise for the draw.
            z = np.empty(d)
            for r in range(d):
                total = h[r]
                for c in range(r):
                    total -= lower[r, c] * z[c]
                z[r] = total / lower[r, r]
            drawn = z + noise[row]
            for r in range(d - 1, -1, -1):
                z[r] /= lower[r, r]
                drawn[r] /= lower[r, r]
                for c in range(r):
                    z[c] -= lower[r, c] * z[r]
                    drawn[c] -= lower[r, c] * drawn[r]
            for c in range(d):
                mean[row, c] = z[c]
                sample[row, c] = drawn[c]


@numba.njit(parallel=True, fastmath=True)
def interactions(
    users: np.ndarray, movies: np.ndarray, user: np.ndarray, movie: np.ndarray, out: np.ndarray
) -> None:
    """Write what the vectors say of each rating: <p, q> + b_u + b_m.

    Args:
      users: float32[users, k + 1], the vectors p, with the bias b_u as the last entry.
      movies: float32[movies, k + 1], in the same way.
      user: int32[n].
      movie: int32[n].
      out: float32[n], in stars.
    """
    k = users.shape[1] - 1
    for i in numba.prange(len(user)):
        u, m = user[i], movie[i]
        total = users[u, k] + movies[m, k]
        for c in range(k):
            total += users[u, c] * movies[m, c]
        out[i] = total


@numba.njit(parallel=True)
def sample_paths(
    offsets: np.ndarray,
    decays: np.ndarray,
    residuals: np.ndarray,
    precisions: np.ndarray,
    variance: float,
    noise: np.ndarray,
    mean: np.ndarray,
    sample: np.ndarray,
) -> None:
    """Draw each user's path of an Ornstein-Uhlenbeck process, by forward filtering and backward sampling.

    Formula:
        x_i = decay_i * x_(i - 1) + e, e ~ N(0, (1 - decay_i^2) * variance) from a user's first rating on,
        whose decay is 0

    Args:
      offsets: int64[users + 1], where each user's ratings begin.
      decays: float64[n], what is left of the level at the rating before; 0 at each user's first.
      residuals: float64[n], observations of the path, in stars.
      precisions: float32[n], of their noise.
      variance: of the process, in square stars.
      noise: float64[n], standard normal draws.
      mean: float64[n], gets the mean of the path given the observations.
      sample: float64[n], gets the draw.

    Reference:
      Fruehwirth-Schnatter 1994, https://doi.org/10.1111/j.1467-9892.1994.tb00184.x; Uhlenbeck and
      Ornstein 1930, https://doi.org/10.1103/PhysRev.36.823.
    """
    threads = numba.get_num_threads()
    for thread in numba.prange(threads):
        for user in range(thread, len(offsets) - 1, threads):
            first, end = offsets[user], offsets[user + 1]
            if first == end:
                continue
            filtered, variances = np.empty(end - first), np.empty(end - first)
            level, spread = 0.0, variance
            for i in range(first, end):
                decay = decays[i]
                level *= decay
                spread = decay * decay * spread + variance * (1.0 - decay * decay)
                gain = spread * precisions[i] / (1.0 + spread * precisions[i])
                level += gain * (residuals[i] - level)
                spread *= 1.0 - gain
                filtered[i - first], variances[i - first] = level, spread
            last = end - 1
            mean[last] = level
            sample[last] = level + np.sqrt(spread) * noise[last]
            for i in range(last - 1, first - 1, -1):
                level, spread = filtered[i - first], variances[i - first]
                decay = decays[i + 1]
                ahead = decay * decay * spread + variance * (1.0 - decay * decay)
                pull = spread * decay / ahead
                mean[i] = level + pull * (mean[i + 1] - decay * level)
                left = max(spread - pull * decay * spread, 0.0)
                sample[i] = level + pull * (sample[i + 1] - decay * level) + np.sqrt(left) * noise[i]
