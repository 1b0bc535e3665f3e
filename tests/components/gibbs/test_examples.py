import numpy as np
import pytest

from components.deepfm.config import DeepFMConfig
from components.gibbs.config import GibbsConfig
from components.gibbs.examples import Examples
from schema import features
from tests.conftest import TRAIN_ROWS, VALID_ROWS, fn_args, transform

MODEL = DeepFMConfig(
    architecture="two_sided",
    embedding_dim=2,
    embedding_l2=0.0,
    oov_dropout_rate=0.0,
    drift_seconds=(60.0,),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return transform(tmp_path_factory.mktemp("transformed"), TRAIN_ROWS + VALID_ROWS)


@pytest.fixture(scope="module")
def examples(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("read")
    return Examples.read(fn_args(data, folder, MODEL, GibbsConfig()), MODEL)


def test_rows_are_those_of_the_splits(data, examples):
    for columns, rows in (
        (examples.train, data.transformed[:TRAIN_ROWS]),
        (examples.valid, data.transformed[TRAIN_ROWS:]),
        (examples.both, data.transformed),
    ):
        for name in ("uid_index", "genres_index", "timestamp", "rating"):
            np.testing.assert_array_equal(columns[name], [row[name] for row in rows])


def test_ratings_are_numbered_as_in_the_vocabularies(data, examples):
    ratings = examples.ratings(examples.train)
    assert len(ratings) == TRAIN_ROWS
    users, movies = ({row[name] for row in data.transformed} for name in ("uid_index", "mid_index"))
    assert (len(ratings.user_counts), len(ratings.movie_counts)) == (len(users), len(movies))
    found = zip(ratings.user + 1, ratings.movie + 1, ratings.time, ratings.rating, strict=True)
    names = ("uid_index", "mid_index", features.TIMESTAMP.name, features.LABEL.name)
    assert sorted(found) == sorted(
        tuple(row[name] for name in names) for row in data.transformed[:TRAIN_ROWS]
    )
    # Those of the validation rows alone have a number, and no rating.
    assert 0 in ratings.user_counts
    assert examples.ratings(examples.both).user_counts.min() > 0
