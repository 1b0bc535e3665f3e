import numpy as np
import pytest

from components.gibbs.implicit import implicit_embeddings
from components.gibbs.ratings import Ratings
from tests.components.gibbs.conftest import MOVIES, USERS


def test_distances_are_those_of_the_closest_histories(world):
    ratings = world.ratings()
    history = np.zeros((USERS, MOVIES))
    history[world.user, world.movie] = 1 / np.sqrt(ratings.user_counts[world.user] + 10)
    u, s, v = np.linalg.svd(history)
    closest = (u[:, :5] * s[:5]) @ v[:5]
    users, movies = implicit_embeddings(ratings, rank=5, shrinkage=10)
    assert (users.shape, movies.shape) == ((USERS, 5), (MOVIES, 5))
    np.testing.assert_allclose(users @ users.T, closest @ closest.T, atol=1e-5)


def test_a_rating_says_nothing_but_that_it_is_there(world):
    ratings = world.ratings()
    others = type(ratings)(**{**vars(ratings), "rating": ratings.rating[::-1]})
    for found, again in zip(
        implicit_embeddings(ratings, 5, 10), implicit_embeddings(others, 5, 10), strict=True
    ):
        np.testing.assert_array_equal(found, again)


def test_few_ratings_are_near_nothing(world):
    some = implicit_embeddings(world.ratings(), 5, 10)[0]
    more = implicit_embeddings(world.ratings(), 5, 1000)[0]
    assert np.linalg.norm(more) < 0.3 * np.linalg.norm(some)


@pytest.mark.parametrize(("rank", "found"), [(39, 39), (500, 39)])
def test_rank_is_at_most_that_of_the_data(world, rank, found):
    assert implicit_embeddings(world.ratings(), rank, 10)[0].shape == (USERS, found)


def test_the_same_histories_give_the_same_embeddings_where_they_differ_in_few_directions():
    user, movie = np.nonzero(np.kron(np.eye(3), np.ones((10, 7))))  # users of three kinds
    ratings = Ratings.of(
        user=user, movie=movie, rating=np.ones(len(user)), time=np.arange(len(user)), users=30, movies=21
    )
    first, again = (implicit_embeddings(ratings, 12, 10) for _ in range(2))
    for found, same in zip(first, again, strict=True):
        assert found.shape[1] == 12
        assert np.linalg.matrix_rank(found, tol=1e-4) == 3
        np.testing.assert_array_equal(found, same)
