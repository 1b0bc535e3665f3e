"""Ratings in MovieLens 1M's format that are drawn, not collected, with a known noise floor.

Each rating is a latent score plus Gaussian noise, rounded to a whole number of stars and kept in 1..5:

    score = mean + user bias + movie bias + (taste of the user for the movie)
    taste = p_u . q_i  +  (genre taste of the user, and of their gender and age group) . (genres of the movie)

So the distribution of each rating given its score is known exactly, and so is the RMSE of the best
possible predictor, the one that knows every score: the noise floor. Users rate popular movies and movies
to their taste more often, which gives the long tails of the real data.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import filelock
import numpy as np

from pipeline.dataset import layout
from pipeline.dataset.errors import DatasetError
from pipeline.dataset.staging import staged_folder
from pipeline.dataset.titles import draw_titles

# The size of MovieLens 1M.
RATINGS = 1_000_209
USERS = 6_040
MOVIES = 3_883
SEED = 7

# Goes up whenever the same arguments give other files, so that no cached folder outlives its generator.
GENERATOR_VERSION = 1

MIN_RATINGS_PER_USER = 20

# Name, share of movies that have it (relative), as in MovieLens 1M.
_GENRES = {
    "Action": 13.0, "Adventure": 7.3, "Animation": 2.7, "Children's": 6.5, "Comedy": 31.0, "Crime": 5.4,
    "Documentary": 3.3, "Drama": 41.0, "Fantasy": 1.8, "Film-Noir": 1.1, "Horror": 8.8, "Musical": 2.9,
    "Mystery": 2.7, "Romance": 12.0, "Sci-Fi": 7.1, "Thriller": 12.7, "War": 3.7, "Western": 1.8,
}  # fmt: skip
_GENRES_PER_MOVIE = {1: 0.522, 2: 0.340, 3: 0.108, 4: 0.025, 5: 0.005}
_MOVIE_ID_SPREAD = 1.018  # highest movie id over number of movies: some ids are missing
_LAST_YEAR = 2000

_GENDERS = {"F": 0.28, "M": 0.72}
_AGES = {1: 0.037, 18: 0.183, 25: 0.347, 35: 0.197, 45: 0.091, 50: 0.082, 56: 0.063}
_OCCUPATION_WEIGHTS = (
    12, 9, 4, 3, 13, 2, 4, 11, 0.5, 1.5, 3, 2, 6, 2.5, 5, 2.5, 4, 8, 1, 1, 5,
)  # fmt: skip

# Shares of the ways to write a zip that are not five digits; each way is there from 100 users on.
_ZIP_PLUS_4_SHARE = 0.011
_ZIP_DIGIT_RUN_SHARE = 0.003
_ZIP_CANADIAN_SHARE = 0.002
_ZIP_EMPTY_SHARE = 0.002
_CANADIAN_LETTERS = "ABCEGHJKLMNPRSTVXY"

_START = 956_620_800  # 2000-04-25 00:00 UTC
_SPAN = 1_040 * 86_400  # seconds
_LAUNCH_SHARE = 0.99  # users who arrive in the first quarter of the span; the others any time
_SESSION_BREAK = 0.026  # probability that a rating begins a new session
_SESSION_GAP_MEDIAN = 3.5 * 86_400  # seconds
_SESSION_GAP_SIGMA = 2.1
_RATING_GAP_MEAN = 45.0  # seconds; half of the ratings share their second with the one before

_ACTIVITY_SIGMA = 1.15
_MAX_SHARE_OF_MOVIES = 0.6  # that one user rates, where the sizes allow it
_POPULARITY_SIGMA = 1.4
_LOWER_TAIL = 0.35  # how much longer the lower tail of both is than a lognormal's

_MEAN = 3.6
_USER_BIAS = 0.45  # standard deviation in stars over ratings
_MOVIE_BIAS = 0.60  # standard deviation in stars over ratings
_POPULARITY_BIAS = 0.25  # correlation of a movie's bias with its log-popularity
_FACTORS = 6
_FACTOR_TASTE = 0.36
_GENRE_TASTE = 0.36
_GROUP_TASTE = 0.3
_NOISE = 0.845  # standard deviation in stars before rounding
_TASTE_IN_SELECTION = 0.5

_BLOCK_CELLS = 1 << 20  # users times movies that are in memory at once


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """The movies, the users, and what governs the ratings, as arrays over movies or users.

    Memory grows with users and movies, not with ratings.
    """

    seed: int
    movie_ids: np.ndarray  # int64[movies], increasing, with gaps
    genres: np.ndarray  # bool[movies, 18]
    log_popularity: np.ndarray  # float64[movies]
    movie_bias: np.ndarray  # float64[movies], stars
    movie_factors: np.ndarray  # float64[movies, factors]
    gender: np.ndarray  # int64[users], index into F, M
    age: np.ndarray  # int64[users], index into the seven age groups
    user_bias: np.ndarray  # float64[users], stars
    ratings_per_user: np.ndarray  # int64[users]
    arrival: np.ndarray  # int64[users], seconds since 1970, not decreasing
    group_taste: np.ndarray  # float64[2, 7, 18], stars


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RatingBlock:
    """The ratings of some successive users, by user and then by time."""

    uid: np.ndarray  # int64[n], from 1
    mid: np.ndarray  # int64[n]
    rating: np.ndarray  # int64[n], 1 to 5
    timestamp: np.ndarray  # int64[n], seconds since 1970
    score: np.ndarray  # float64[n], the latent score in stars


def dataset_name(*, ratings: int, users: int, movies: int, seed: int) -> str:
    """Name a generated dataset so that other arguments have another name."""
    is_default = (ratings, users, movies) == (RATINGS, USERS, MOVIES)
    size = "1m" if is_default else f"{ratings}x{users}x{movies}"
    return f"generated-{size}-seed{seed}"


def generate(
    folder: Path, *, ratings: int = RATINGS, users: int = USERS, movies: int = MOVIES, seed: int = SEED
) -> layout.Marker:
    """Write a generated dataset: the three data files and the marker `dataset.json`.

    The same arguments give the same bytes. The folder appears whole or not at all; a generated dataset or
    an empty folder that stands in its place is replaced.

    Args:
        folder: The folder to write.
        ratings: Number of ratings, from 1 to `users * movies`; hit exactly.
        users: Number of users, from 1; each rates at least 20 movies where the other sizes allow it.
        movies: Number of movies, from 1.
        seed: Seed of all that is drawn, from 0.

    Returns:
        The marker that was written, with the noise floor.

    Raises:
        ValueError: A size or the seed is out of range.
        DatasetError: The folder holds something else, or cannot be written.
    """
    folder = Path(folder).absolute()
    population = draw_population(ratings=ratings, users=users, movies=movies, seed=seed)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):
            _refuse_to_replace_other_files(folder)
            with staged_folder(folder) as staged:
                _write_movies(staged / layout.MOVIES_FILE, population)
                _write_users(staged / layout.USERS_FILE, population)
                floor = _write_ratings(staged / layout.RATINGS_FILE, population)
                marker = layout.Marker(
                    name=dataset_name(ratings=ratings, users=users, movies=movies, seed=seed),
                    generator_version=GENERATOR_VERSION,
                    ratings=ratings,
                    users=users,
                    movies=movies,
                    seed=seed,
                    noise_floor_rmse=round(floor, 6),
                    file_bytes={name: (staged / name).stat().st_size for name in layout.DATA_FILES},
                )
                (staged / layout.MARKER_FILE).write_text(marker.to_json(), encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"The generated dataset cannot be written to {folder}: {error}.") from error
    return marker


def draw_population(*, ratings: int, users: int, movies: int, seed: int) -> Population:
    """Draw the movies and users of a dataset, and how many movies each user rates.

    Args:
        ratings: Number of ratings, from 1 to `users * movies`.
        users: Number of users, from 1.
        movies: Number of movies, from 1.
        seed: Seed of all that is drawn, from 0.

    Returns:
        The population, whose ratings `rating_blocks` draws.

    Raises:
        ValueError: A size or the seed is out of range.
    """
    for name, value in (("users", users), ("movies", movies), ("ratings", ratings)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")
    if ratings > users * movies:
        raise ValueError(
            f"`ratings` must be at most users * movies = {users * movies}, as each pair is rated once, "
            f"got {ratings}"
        )
    if seed < 0:
        raise ValueError(f"`seed` must not be negative, got {seed}")

    rng = np.random.default_rng([seed, 0])
    highest_id = max(movies, round(movies * _MOVIE_ID_SPREAD))
    movie_ids = np.sort(rng.choice(highest_id, size=movies, replace=False)) + 1
    genres = _draw_genres(rng, movies)
    normal = rng.standard_normal(movies)
    log_popularity = _POPULARITY_SIGMA * _with_lower_tail(normal)
    popularity = np.exp(log_popularity - log_popularity.max())
    own_bias = math.sqrt(1 - _POPULARITY_BIAS**2) * rng.standard_normal(movies)
    movie_bias = _MOVIE_BIAS * _standardized(_POPULARITY_BIAS * normal + own_bias, popularity)
    movie_factors = rng.standard_normal((movies, _FACTORS)) / math.sqrt(_FACTORS)

    rng = np.random.default_rng([seed, 1])
    ratings_per_user = _draw_activity(rng, ratings, users, movies)
    user_bias = _USER_BIAS * _standardized(rng.standard_normal(users), ratings_per_user)
    launch = 0.25 * rng.beta(1.8, 1.2, size=users)
    arrival = np.where(rng.random(users) < _LAUNCH_SHARE, launch, rng.random(users))
    return Population(
        seed=seed,
        movie_ids=movie_ids,
        genres=genres,
        log_popularity=log_popularity,
        movie_bias=movie_bias,
        movie_factors=movie_factors,
        gender=rng.choice(len(_GENDERS), p=list(_GENDERS.values()), size=users),
        age=rng.choice(len(_AGES), p=list(_AGES.values()), size=users),
        user_bias=user_bias,
        ratings_per_user=ratings_per_user,
        arrival=_START + np.floor(np.sort(arrival) * _SPAN).astype(np.int64),
        group_taste=_draw_group_taste(rng),
    )


def rating_blocks(population: Population) -> Iterator[RatingBlock]:
    """Draw all ratings, block of users after block of users.

    Args:
        population: Whose ratings to draw; the same population gives the same ratings every time.

    Yields:
        Blocks that hold each (user, movie) pair at most once, with bounded memory.
    """
    users, movies = len(population.user_bias), len(population.movie_ids)
    block_users = max(1, _BLOCK_CELLS // movies)
    for begin in range(0, users, block_users):
        rng = np.random.default_rng([population.seed, 2, begin])
        yield _draw_block(rng, population, np.arange(begin, min(begin + block_users, users)))


def expected_rating(score: np.ndarray) -> np.ndarray:
    """Compute the mean of a rating given its latent score: the best possible prediction.

    With `P(r > k) = Phi((score - k - 1/2) / noise)` for k = 1..4, the mean is `1 + sum_k P(r > k)`.

    Args:
        score: float64[n], latent scores in stars.

    Returns:
        float64[n], stars.
    """
    return 1 + _exceeds(score).sum(axis=1)


def rating_variance(score: np.ndarray) -> np.ndarray:
    """Compute the variance of a rating given its latent score: what no predictor can remove.

    With P(r > k) as in `expected_rating`, the second moment is `1 + sum_k (2 k + 1) P(r > k)`.

    Args:
        score: float64[n], latent scores in stars.

    Returns:
        float64[n], squared stars.
    """
    exceeds = _exceeds(score)
    return 1 + exceeds @ np.array([3.0, 5.0, 7.0, 9.0]) - (1 + exceeds.sum(axis=1)) ** 2


def _exceeds(score: np.ndarray) -> np.ndarray:
    """Return float64[n, 4], the probability that the rating is over 1, 2, 3, 4."""
    z = (score[:, None] - np.arange(1.5, 5.0)) / (_NOISE * math.sqrt(2))
    return 0.5 * (1 + np.frompyfunc(math.erf, 1, 1)(z).astype(np.float64))


def _standardized(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shift and scale to weighted mean 0 and weighted standard deviation 1 (all 0 where constant)."""
    centered = values - np.average(values, weights=weights)
    deviation = math.sqrt(np.average(centered**2, weights=weights))
    return centered / deviation if deviation > 0 else np.zeros_like(centered)


def _with_lower_tail(normal: np.ndarray) -> np.ndarray:
    """Skew standard normal values to the left."""
    return normal - _LOWER_TAIL * np.minimum(normal, 0) ** 2


def _draw_genres(rng: np.random.Generator, movies: int) -> np.ndarray:
    """Return bool[movies, 18]: one to five genres each, by their shares, without replacement."""
    counts = rng.choice(list(_GENRES_PER_MOVIE), p=list(_GENRES_PER_MOVIE.values()), size=movies)
    keys = np.log(list(_GENRES.values())) + rng.gumbel(size=(movies, len(_GENRES)))
    ranks = np.argsort(np.argsort(-keys, axis=1, kind="stable"), axis=1, kind="stable")
    return ranks < counts[:, None]


def _draw_activity(rng: np.random.Generator, ratings: int, users: int, movies: int) -> np.ndarray:
    """Return int64[users], long-tailed, within the bounds of one user, with the sum `ratings`."""
    lowest = min(MIN_RATINGS_PER_USER, movies, ratings // users)
    highest = max(lowest, int(_MAX_SHARE_OF_MOVIES * movies))
    if highest * users < ratings:
        highest = movies
    weights = np.exp(_ACTIVITY_SIGMA * _with_lower_tail(rng.standard_normal(users)))

    def counts(scale: float) -> np.ndarray:
        return np.minimum(lowest + scale * weights, highest)

    low, high = 0.0, (highest - lowest) / weights.min()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if counts(middle).sum() < ratings else (low, middle)
    exact = counts(low)
    result = np.floor(exact).astype(np.int64)
    missing = ratings - int(result.sum())
    by_remainder = np.argsort(result - exact, kind="stable")
    by_remainder = by_remainder[result[by_remainder] < highest]
    result[by_remainder[:missing]] += 1
    return result


def _draw_group_taste(rng: np.random.Generator) -> np.ndarray:
    """Return float64[2, 7, 18]: what gender and age group add to each genre, in the mean nothing."""
    by_gender = rng.standard_normal((2, 1, len(_GENRES)))
    by_gender -= np.average(by_gender, axis=0, weights=list(_GENDERS.values()), keepdims=True)
    # Neighbouring age groups are alike: a random walk over the ages.
    by_age = np.cumsum(rng.standard_normal((1, len(_AGES), len(_GENRES))), axis=1) / 2
    by_age -= np.average(by_age, axis=1, weights=list(_AGES.values()), keepdims=True)
    taste = by_gender + by_age
    return _GROUP_TASTE * taste / taste.std()


def _draw_block(rng: np.random.Generator, population: Population, users: np.ndarray) -> RatingBlock:
    """Draw all ratings of the users with these (successive) indices."""
    movies = len(population.movie_ids)
    genre_share = population.genres / population.genres.sum(axis=1, keepdims=True)
    genre_taste = _GENRE_TASTE * rng.standard_normal((len(users), len(_GENRES)))
    genre_taste += population.group_taste[population.gender[users], population.age[users]]
    user_factors = _FACTOR_TASTE * rng.standard_normal((len(users), _FACTORS))
    taste = genre_taste @ genre_share.T + user_factors @ population.movie_factors.T

    # Gumbel top-k draws k movies without replacement, by popularity and taste: https://arxiv.org/abs/1903.06059
    keys = population.log_popularity + _TASTE_IN_SELECTION * taste + rng.gumbel(size=taste.shape)
    counts = population.ratings_per_user[users]
    rows = np.repeat(np.arange(len(users)), counts)
    empty = np.empty(0, dtype=np.int64)
    columns = np.concatenate(
        [
            np.sort(np.argpartition(row, movies - count)[movies - count :]) if count else empty
            for row, count in zip(keys, counts.tolist(), strict=True)
        ]
    )
    columns = columns[np.lexsort((rng.random(len(rows)), rows))]

    score = _MEAN + population.user_bias[users[rows]] + population.movie_bias[columns] + taste[rows, columns]
    noisy = score + _NOISE * rng.standard_normal(len(score))
    return RatingBlock(
        uid=users[rows] + 1,
        mid=population.movie_ids[columns],
        rating=np.clip(np.floor(noisy + 0.5), 1, 5).astype(np.int64),
        timestamp=_draw_timestamps(rng, population.arrival[users], counts),
        score=score,
    )


def _draw_timestamps(rng: np.random.Generator, arrival: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return int64[sum of counts]: sessions that begin at the arrival, not decreasing for each user."""
    n = int(counts.sum())
    session_gap = _SESSION_GAP_MEDIAN * np.exp(_SESSION_GAP_SIGMA * rng.standard_normal(n))
    rating_gap = np.where(rng.random(n) < 0.5, 0, 1 + rng.exponential(_RATING_GAP_MEAN, size=n))
    gap = np.where(rng.random(n) < _SESSION_BREAK, np.minimum(session_gap, _SPAN), rating_gap)
    elapsed = np.cumsum(np.floor(gap).astype(np.int64))
    rows = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    rated = counts > 0
    begins = np.zeros(len(counts), dtype=np.int64)
    begins[rated] = elapsed[(ends - counts)[rated]]
    elapsed -= begins[rows]
    # Those who would go on after the end come back sooner instead. In integers, to be exact everywhere.
    total = np.ones(len(counts), dtype=np.int64)
    total[rated] = np.maximum(elapsed[(ends - 1)[rated]], 1)
    left = _START + _SPAN - arrival
    sooner = elapsed * left[rows] // total[rows]
    return arrival[rows] + np.where((total > left)[rows], sooner, elapsed)


def _draw_zips(rng: np.random.Generator, users: int) -> list[str]:
    """Return a zip code for each user: five digits, but for a few in each of the other ways."""
    zips = [f"{code:05d}" for code in rng.integers(501, 99_951, size=users).tolist()]
    order = iter(rng.permutation(users).tolist())

    def few(share: float) -> list[int]:
        count = round(share * users)
        return [next(order) for _ in range(max(count, 1) if users >= 100 else count)]

    for user in few(_ZIP_PLUS_4_SHARE):
        zips[user] += f"-{rng.integers(1, 10_000):04d}"
    for user in few(_ZIP_DIGIT_RUN_SHARE):
        digits = int(rng.integers(1, 5))
        zips[user] += f"{rng.integers(10**digits):0{digits}d}"
    for user in few(_ZIP_CANADIAN_SHARE):
        a, b, c = (_CANADIAN_LETTERS[i] for i in rng.integers(len(_CANADIAN_LETTERS), size=3))
        i, j, k = rng.integers(10, size=3)
        zips[user] = f"{a}{i}{b} {j}{c}{k}"
    for user in few(_ZIP_EMPTY_SHARE):
        zips[user] = ""
    return zips


def _write_movies(path: Path, population: Population) -> None:
    """Write `movies.dat`."""
    rng = np.random.default_rng([population.seed, 3])
    movies = len(population.movie_ids)
    recent = np.floor(rng.exponential(5.0, size=movies))
    age = np.where(rng.random(movies) < 0.75, np.minimum(recent, 80), rng.integers(81, size=movies))
    titles = draw_titles(rng, (_LAST_YEAR - age).astype(int).tolist())
    names = np.array(list(_GENRES))
    with path.open("w", encoding=layout.ENCODING, newline="\n") as file:
        for mid, title, genres in zip(population.movie_ids.tolist(), titles, population.genres, strict=True):
            file.write(f"{mid}::{title}::{'|'.join(names[genres])}\n")


def _write_users(path: Path, population: Population) -> None:
    """Write `users.dat`."""
    rng = np.random.default_rng([population.seed, 4])
    users = len(population.user_bias)
    genders, ages = np.array(list(_GENDERS))[population.gender], np.array(list(_AGES))[population.age]
    weights = np.array(_OCCUPATION_WEIGHTS) / sum(_OCCUPATION_WEIGHTS)
    occupations = rng.choice(len(weights), p=weights, size=users)
    columns = (range(1, users + 1), genders.tolist(), ages.tolist(), occupations.tolist())
    with path.open("w", encoding=layout.ENCODING, newline="\n") as file:
        file.writelines(map("{}::{}::{}::{}::{}\n".format, *columns, _draw_zips(rng, users)))


def _write_ratings(path: Path, population: Population) -> float:
    """Write `ratings.dat`; return the noise floor, the RMSE of the predictor that knows the scores."""
    squares, count = 0.0, 0
    with path.open("w", encoding=layout.ENCODING, newline="\n") as file:
        for block in rating_blocks(population):
            columns = (block.uid, block.mid, block.rating, block.timestamp)
            file.writelines(map("{}::{}::{}::{}\n".format, *(column.tolist() for column in columns)))
            squares += math.fsum(rating_variance(block.score))
            count += len(block.score)
    return math.sqrt(squares / count)


def _refuse_to_replace_other_files(folder: Path) -> None:
    """Raise where the folder holds what this module did not write."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or layout.read_marker(folder) is None:
        raise DatasetError(
            f"{folder} exists and is no generated dataset: give a new or an empty folder to generate into."
        )
