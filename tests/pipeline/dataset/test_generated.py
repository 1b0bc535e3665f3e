import collections
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from pipeline.dataset import generated, layout
from pipeline.dataset.errors import DatasetError
from schema import features

SIZES = {"ratings": 60_000, "users": 600, "movies": 500, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("generated") / "small"
    generated.generate(path, **SIZES)
    return path


@pytest.fixture(scope="module")
def ratings(folder):
    return np.array([line.split("::") for line in _lines(folder / "ratings.dat")], dtype=np.int64)


@pytest.fixture(scope="module")
def drawn():
    blocks = list(generated.rating_blocks(generated.draw_population(**SIZES)))
    return {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("uid", "mid", "rating", "timestamp", "score")
    }


def _lines(path):
    content = path.read_bytes()
    assert content.endswith(b"\n")
    assert b"\r" not in content
    return content.decode("latin-1").split("\n")[:-1]


def _table(path):
    return [line.split("::") for line in _lines(path)]


def test_it_hits_every_size_exactly(folder, ratings):
    assert len(ratings) == 60_000
    assert ratings.shape[1] == 4
    assert len(_lines(folder / "movies.dat")) == 500
    assert len(_lines(folder / "users.dat")) == 600


def test_each_pair_is_rated_once_and_has_a_user_and_a_movie(folder, ratings):
    uid, mid = ratings[:, 0], ratings[:, 1]
    assert len(np.unique(uid * 100_000 + mid)) == 60_000
    assert set(np.unique(uid)) == set(range(1, 601))
    assert set(np.unique(mid)) <= {int(row[0]) for row in _table(folder / "movies.dat")}
    assert np.bincount(uid)[1:].min() >= 20


def test_ratings_are_grouped_by_user_and_in_time_order_within_a_user(ratings):
    uid, timestamp = ratings[:, 0], ratings[:, 3]
    same_user = uid[1:] == uid[:-1]
    assert (np.diff(uid) >= 0).all()
    assert (np.diff(timestamp)[same_user] >= 0).all()
    three_years = 3 * 365 * 86_400
    assert 0.8 * three_years < timestamp.max() - timestamp.min() < three_years
    # Users arrive over time, and come in sessions: most gaps are short, some are long.
    arrival = timestamp[np.r_[True, ~same_user]]
    assert (np.diff(arrival) >= 0).all()
    gaps = np.diff(timestamp)[same_user]
    assert np.median(gaps) < 60
    assert 0.005 < (gaps > 3_600).mean() < 0.05


def test_the_drawn_ratings_are_those_of_the_file(ratings, drawn):
    in_memory = np.stack([drawn[name] for name in ("uid", "mid", "rating", "timestamp")], axis=1)
    np.testing.assert_array_equal(ratings, in_memory)


def test_stars_are_distributed_as_in_movielens(ratings):
    stars = ratings[:, 2]
    assert sorted(np.unique(stars)) == [1, 2, 3, 4, 5]
    assert stars.mean() == pytest.approx(3.58, abs=0.1)
    assert stars.std() == pytest.approx(1.12, abs=0.05)


def test_popularity_and_activity_have_long_tails(ratings):
    uid, mid = ratings[:, 0], ratings[:, 1]
    by_user = np.sort(np.bincount(uid)[1:])
    assert by_user[-60:].sum() / 60_000 > 0.25
    assert np.median(by_user) < 0.9 * by_user.mean()
    # With few users a popular movie is soon rated by all of them, so the tail needs more movies than users.
    population = generated.draw_population(ratings=40_000, users=500, movies=3_000, seed=0)
    mid = np.concatenate([block.mid for block in generated.rating_blocks(population)])
    by_movie = np.sort(np.bincount(mid, minlength=population.movie_ids.max() + 1))
    assert by_movie[-300:].sum() / 40_000 > 0.4


def test_movies_have_real_genres_and_titles_with_years(folder):
    movies = _table(folder / "movies.dat")
    assert {len(row) for row in movies} == {3}
    ids = [int(row[0]) for row in movies]
    assert ids == sorted(set(ids))
    assert ids[0] >= 1
    assert 500 < ids[-1] <= 509  # some ids are missing
    assert all(re.fullmatch(r".+ \((19[1-9]\d|2000)\)", row[1]) for row in movies)
    assert len({row[1] for row in movies}) == 500
    assert any(ord(character) > 127 for row in movies for character in row[1])
    domain = set(
        re.findall(r'value: "(.+)"', features.SCHEMA_PATH.read_text().split('name: "gender"\n  v')[0])
    )
    used = [row[2].split("|") for row in movies]
    assert {genre for genres in used for genre in genres} <= domain
    assert all(len(set(genres)) == len(genres) for genres in used)
    share = {count: n / 500 for count, n in collections.Counter(map(len, used)).items()}
    assert share[1] == pytest.approx(0.52, abs=0.07)
    assert share[2] == pytest.approx(0.34, abs=0.07)
    assert share[3] == pytest.approx(0.11, abs=0.05)


def test_users_have_the_values_of_movielens(folder):
    users = _table(folder / "users.dat")
    assert [int(row[0]) for row in users] == list(range(1, 601))
    assert sum(row[1] == "F" for row in users) / 600 == pytest.approx(0.28, abs=0.06)
    assert {row[1] for row in users} == {"F", "M"}
    assert {int(row[2]) for row in users} == {1, 18, 25, 35, 45, 50, 56}
    assert {int(row[3]) for row in users} <= set(range(21))
    assert len({int(row[3]) for row in users}) > 15


def test_zips_come_in_every_way_of_writing(folder):
    kinds = {
        "five digits": r"\d{5}",
        "ZIP+4": r"\d{5}-\d{4}",
        "run of digits": r"\d{6,9}",
        "Canadian": r"[A-Z]\d[A-Z] \d[A-Z]\d",
        "empty": "",
    }
    zips = [row[4] for row in _table(folder / "users.dat")]
    counts = {kind: sum(bool(re.fullmatch(form, code)) for code in zips) for kind, form in kinds.items()}
    assert counts == {"five digits": 589, "ZIP+4": 7, "run of digits": 2, "Canadian": 1, "empty": 1}
    assert any(code.startswith("0") for code in zips)


def test_the_noise_floor_is_the_error_of_the_true_expectation(folder, drawn):
    marker = layout.read_marker(folder)
    squares = (drawn["rating"] - generated.expected_rating(drawn["score"])) ** 2
    standard_error = squares.std() / math.sqrt(len(squares))
    assert squares.mean() == pytest.approx(marker.noise_floor_rmse**2, abs=4 * standard_error)
    assert marker.noise_floor_rmse == pytest.approx(0.80, abs=0.02)


def test_expectation_and_variance_are_those_of_the_five_probabilities():
    score = np.array([-1.0, 1.5, 3.0, 4.2, 8.0])
    noise = generated._NOISE
    for s, mean, variance in zip(
        score, generated.expected_rating(score), generated.rating_variance(score), strict=True
    ):
        cdf = [0.5 * (1 + math.erf((k + 0.5 - s) / noise / math.sqrt(2))) for k in (1, 2, 3, 4)]
        probabilities = np.diff([0.0, *cdf, 1.0])
        by_hand = probabilities @ np.arange(1, 6)
        assert mean == pytest.approx(by_hand, abs=1e-12)
        assert variance == pytest.approx(probabilities @ (np.arange(1, 6) - by_hand) ** 2, abs=1e-12)
    assert generated.expected_rating(np.array([3.0]))[0] == pytest.approx(3.0, abs=1e-12)


def test_there_is_structure_to_learn_above_the_floor():
    population = generated.draw_population(ratings=150_000, users=1_200, movies=900, seed=5)
    blocks = list(generated.rating_blocks(population))
    uid, mid, stars, score = (
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("uid", "mid", "rating", "score")
    )
    is_test = np.random.default_rng(0).random(len(stars)) < 0.1
    mean = stars[~is_test].mean()
    user_bias, movie_bias = np.zeros(uid.max() + 1), np.zeros(mid.max() + 1)
    for _ in range(10):
        for bias, ids, other in ((movie_bias, mid, user_bias[uid]), (user_bias, uid, movie_bias[mid])):
            left = (stars - mean - other)[~is_test]
            sums = np.bincount(ids[~is_test], left, len(bias))
            bias[:] = sums / (np.bincount(ids[~is_test], minlength=len(bias)) + 5)

    def rmse(prediction):
        return math.sqrt(np.mean((stars - prediction)[is_test] ** 2))

    floor = rmse(generated.expected_rating(score))
    by_bias = rmse(mean + user_bias[uid] + movie_bias[mid])
    by_mean = rmse(np.full(len(stars), mean))
    assert floor == pytest.approx(0.80, abs=0.02)
    assert by_bias == pytest.approx(0.92, abs=0.03)
    assert by_mean == pytest.approx(1.12, abs=0.04)
    assert by_bias - floor > 0.08
    assert by_mean - by_bias > 0.15


def test_the_same_arguments_give_the_same_bytes_in_another_process(folder, tmp_path):
    code = f"""
from pathlib import Path
from pipeline.dataset.generated import generate
generate(Path({str(tmp_path / "again")!r}), **{SIZES!r})
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
    for name in (*layout.DATA_FILES, layout.MARKER_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_gives_other_ratings(folder, tmp_path):
    generated.generate(tmp_path / "other", **{**SIZES, "seed": 4})
    assert (tmp_path / "other" / "ratings.dat").read_bytes() != (folder / "ratings.dat").read_bytes()


def test_blocks_of_users_bound_the_memory():
    population = generated.draw_population(ratings=40_000, users=1_500, movies=3_000, seed=0)
    blocks = list(generated.rating_blocks(population))
    assert [len(np.unique(block.uid)) for block in blocks] == [349, 349, 349, 349, 104]


def test_the_marker_says_what_the_folder_is(folder):
    marker = json.loads((folder / "dataset.json").read_text())
    assert marker["name"] == "generated-60000x600x500-seed3"
    assert marker["generated"] is True
    assert {name: marker[name] for name in SIZES} == SIZES
    assert marker["file_bytes"]["ratings.dat"] == (folder / "ratings.dat").stat().st_size
    assert sorted(path.name for path in folder.iterdir()) == [
        "dataset.json",
        "movies.dat",
        "ratings.dat",
        "users.dat",
    ]


def test_the_default_size_has_a_short_name():
    name = generated.dataset_name(ratings=1_000_209, users=6_040, movies=3_883, seed=7)
    assert name == "generated-1m-seed7"


@pytest.mark.parametrize(
    ("ratings", "users", "movies"),
    [
        (1, 1, 1),
        (6, 2, 3),
        (3, 50, 3),
        (100, 1, 100),
        (4_000, 200, 100),
        (18_000, 200, 100),
        (1_500, 100, 19),
    ],
)
def test_extreme_sizes_are_hit_exactly_too(ratings, users, movies):
    population = generated.draw_population(ratings=ratings, users=users, movies=movies, seed=0)
    blocks = list(generated.rating_blocks(population))
    uid = np.concatenate([block.uid for block in blocks])
    mid = np.concatenate([block.mid for block in blocks])
    timestamp = np.concatenate([block.timestamp for block in blocks])
    assert len(np.unique(uid * 1_000 + mid)) == len(uid) == ratings
    assert population.ratings_per_user.min() >= min(20, movies, ratings // users)
    assert (np.diff(timestamp)[uid[1:] == uid[:-1]] >= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": 0}, "`ratings` must be at least 1, got 0"),
        ({"users": -1}, "`users` must be at least 1, got -1"),
        ({"movies": 0}, "`movies` must be at least 1, got 0"),
        ({"seed": -1}, "`seed` must not be negative, got -1"),
        ({"ratings": 300_001}, "`ratings` must be at most users * movies = 300000"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        generated.generate(tmp_path / "none", **{**SIZES, **change})
    assert list(tmp_path.iterdir()) == []


def test_a_generated_or_empty_folder_is_replaced_and_no_other(tmp_path):
    target = tmp_path / "data"
    small = {"ratings": 200, "users": 10, "movies": 30}
    target.mkdir()
    generated.generate(target, **small, seed=0)
    generated.generate(target, **small, seed=1)
    assert layout.read_marker(target).seed == 1

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "ratings.dat").write_text("1::1::5::1\n")
    with pytest.raises(DatasetError, match="mine exists and is no generated dataset"):
        generated.generate(mine, **small, seed=0)
    assert (mine / "ratings.dat").read_text() == "1::1::5::1\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file exists and is no generated dataset"):
        generated.generate(tmp_path / "file", **small, seed=0)


def test_an_interrupted_generation_leaves_no_folder_and_hinders_no_later_one(tmp_path, monkeypatch):
    target = tmp_path / "data"
    small = {"ratings": 200, "users": 10, "movies": 30, "seed": 0}
    with monkeypatch.context() as patch:
        patch.setattr(generated, "_write_ratings", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            generated.generate(target, **small)
    assert not target.exists()
    # As kill -9 would leave it.
    leftover = tmp_path / ".data.partial"
    leftover.mkdir()
    (leftover / "ratings.dat").write_text("1::1")
    generated.generate(target, **small)
    assert len(_lines(target / "ratings.dat")) == 200
    assert not leftover.exists()


def _interrupt(*_):
    raise KeyboardInterrupt
