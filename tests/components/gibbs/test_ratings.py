import numpy as np

from components.gibbs.ratings import Ratings


def test_order_and_offsets():
    ratings = Ratings.of(
        user=np.array([2, 0, 2, 0]),
        movie=np.array([1, 1, 0, 0]),
        rating=np.array([1.0, 2.0, 3.0, 4.0]),
        time=np.array([5, 9, 5, 3]),
        users=3,
        movies=3,
    )
    assert ratings.user.tolist() == [0, 0, 2, 2]
    assert ratings.movie.tolist() == [0, 1, 0, 1]  # by time, then by movie
    assert ratings.rating.tolist() == [4, 2, 3, 1]
    assert ratings.time.tolist() == [3, 9, 5, 5]
    assert ratings.of_user.tolist() == [0, 2, 2, 4]
    assert ratings.user_counts.tolist() == [2, 0, 2]
    assert ratings.by_movie.tolist() == [0, 2, 1, 3]
    assert ratings.of_movie.tolist() == [0, 2, 4, 4]
    assert ratings.movie_counts.tolist() == [2, 2, 0]
    assert len(ratings) == 4


def test_positions_count_the_ratings_of_earlier_seconds():
    ratings = Ratings.of(
        user=np.array([0, 0, 0, 0, 2, 2]),
        movie=np.arange(6),
        rating=np.ones(6),
        time=np.array([3, 3, 8, 8, 8, 9]),
        users=3,
        movies=6,
    )
    assert ratings.positions.tolist() == [0, 0, 2, 2, 0, 1]
    assert ratings.cells.tolist() == [0, 2, 4, 5]
