"""What is known of users and movies by who has rated what, whatever the rating."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from components.gibbs.ratings import Ratings


def implicit_embeddings(ratings: Ratings, rank: int, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Embed the users by the movies that they have rated, and the movies by the users.

    Formula:
        R V of the truncated singular value decomposition R = U S V', where R_ui = 1 / sqrt(n_u + shrinkage)
        for each of the n_u movies i that the user u has rated, and 0 else; in the same way for movies

    A factorization machine with the fields of SVD++, both ways, has a vector for each column of R; here it
    has one for each of the `rank` directions in which histories differ most.

    Args:
      ratings: whose n ratings count, not their values.
      rank: at most, of both embeddings.
      shrinkage: in ratings; the fewer a user has, the nearer to 0 is the embedding.

    Returns:
      float32[users, rank] and float32[movies, rank].

    Raises:
      scipy.sparse.linalg.ArpackNoConvergence: no such directions were found within SciPy's limit of steps.

    Reference:
      Koren 2008, SVD++, https://doi.org/10.1145/1401890.1401944; Cremonesi et al. 2010, PureSVD,
      https://doi.org/10.1145/1864708.1864721.
    """
    ones = np.ones(len(ratings), np.float64)
    shape = (len(ratings.of_user) - 1, len(ratings.of_movie) - 1)
    rated = scipy.sparse.csr_matrix((ones, (ratings.user, ratings.movie)), shape)
    return _embed(rated, rank, shrinkage), _embed(rated.T.tocsr(), rank, shrinkage)


def _embed(rated: scipy.sparse.csr_matrix, rank: int, shrinkage: float) -> np.ndarray:
    counts = np.diff(rated.indptr)
    histories = scipy.sparse.diags(1 / np.sqrt(counts + shrinkage)) @ rated
    rank = min(rank, min(rated.shape) - 1)
    if rank < 1:
        return np.zeros((rated.shape[0], 0), np.float32)
    matrix = scipy.sparse.linalg.aslinearoperator(histories)
    wide = histories.shape[0] < histories.shape[1]
    squares = matrix @ matrix.H if wide else matrix.H @ matrix
    # From a fixed vector, and with a generator of its own for where that is not enough: or each run would
    # have other embeddings.
    start, rng = np.ones(min(rated.shape)), np.random.default_rng(0)
    values, vectors = scipy.sparse.linalg.eigsh(squares, rank, v0=start, rng=rng)
    found = vectors * np.sqrt(np.maximum(values, 0.0)) if wide else histories @ vectors
    return found.astype(np.float32)
