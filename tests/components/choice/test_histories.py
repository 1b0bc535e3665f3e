import numpy as np

from components.choice.histories import Histories


def histories(rows, users=4, seed=0):
    """Of (user, movie, time) each; a pause is more than 100 s."""
    user, movie, time = np.array(rows).T
    rng = np.random.default_rng(seed)
    return Histories.of(user=user, movie=movie, time=time, users=users, pause_seconds=100, rng=rng)


def test_movies_are_in_the_order_of_choice_with_the_pauses_before_them():
    found = histories([(2, 7, 500), (0, 3, 900), (2, 5, 300), (0, 4, 1000), (2, 6, 400), (0, 9, 1101)])
    assert found.padded(np.array([2, 1, 0])).tolist() == [[5, 6, 7], [-1, -1, -1], [3, 4, 9]]
    assert found.of_user.tolist() == [0, 3, 3, 6, 6]
    assert found.paused.tolist() == [0, 0, 1, 0, 0, 0]  # the first is after none
    assert found.last.tolist() == [1101, 0, 500, 0]


def test_a_movie_is_chosen_once():
    found = histories([(1, 5, 100), (1, 6, 200), (1, 5, 300)])
    assert sorted(found.movie.tolist()) == [5, 6]
    assert found.counts.tolist() == [0, 2, 0, 0]


def test_the_order_within_a_second_is_drawn():
    rows = [(0, movie, 500) for movie in range(20)]
    first, again, other = (histories(rows, seed=seed).movie.tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert first != sorted(first)


def test_of_a_long_history_the_latest_are_kept(monkeypatch):
    monkeypatch.setattr("components.choice.histories._LONGEST", 2)
    found = histories([(0, 4, 1), (0, 5, 2), (0, 6, 300), (1, 3, 5)])
    assert found.padded(np.array([0, 1])).tolist() == [[5, 6], [3, -1]]
    assert found.paused.tolist() == [0, 1, 0]
