import numpy as np

from components.gibbs.moments import Moments, stage_of
from components.gibbs.ratings import Ratings

DAY = 86_400


def test_moments():
    ratings = Ratings.of(
        user=np.array([0, 0, 0, 2, 2]),
        movie=np.arange(5),
        rating=np.ones(5),
        time=np.array([50, 50, 50 + DAY, 60, 90]),
        users=3,
        movies=5,
    )
    moments = Moments.of(ratings, (30.0, DAY))
    np.testing.assert_allclose(moments.tenure, np.log1p([0, 0, 1, 0, 30 / DAY]))
    assert moments.stage.tolist() == [0, 0, 3, 0, 2]
    assert moments.stage_shares.tolist() == [0.6, 0, 0.2, 0.2]
    short, long = moments.steps
    np.testing.assert_allclose(short.decays, [0, 1, 0, 0, np.exp(-1)])
    np.testing.assert_allclose(long.decays, [0, 1, np.exp(-1), 0, np.exp(-30 / DAY)])
    assert short.moving.tolist() == long.moving.tolist() == [True, False, True, True, True]
    np.testing.assert_allclose(long.variances, [1, 1 - np.exp(-2), 1, 1 - np.exp(-60 / DAY)])


def test_stages_are_two_for_each_doubling():
    assert stage_of(np.array([0, 1, 2, 3, 4, 5, 7, 15, 1023])).tolist() == [0, 2, 3, 4, 4, 5, 6, 8, 20]
