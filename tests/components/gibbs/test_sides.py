import dataclasses

import numpy as np
import pytest

from components.deepfm.config import DeepFMConfig
from components.deepfm.fields import CategoricalField, NumericField
from components.deepfm.model import build_model
from components.gibbs.sides import Side
from schema import features

GENRES = np.array([[1, 2, 0], [3, 0, 0], [0, 0, 0]])  # of the movies 1 to 3
OF_MOVIES = [  # column by column, each index from 1 on: genres 1 to 4, the OOV bucket last
    [0.5, 0.5, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 0],
]
CONFIG = DeepFMConfig(
    architecture="two_sided",
    categorical=("uid", "mid", "genres", "gender"),
    numeric=("zip",),
    embedding_dim=2,
    hidden_units=(3,),
    embedding_l2=0.0,
    oov_dropout_rate=0.0,
    drift_seconds=(60.0,),
)
FIELDS = [
    CategoricalField(name="uid", index_name="uid_index", vocabulary_size=4),
    CategoricalField(name="mid", index_name="mid_index", vocabulary_size=3),
    CategoricalField(name="genres", index_name="genres_index", vocabulary_size=3, length=3),
    CategoricalField(name="gender", index_name="gender_index", vocabulary_size=2),
]
NUMBERS = [NumericField(name="zip", input_name="zip_z")]
COLUMNS = {
    "uid_index": np.array([1, 2, 3, 4, 1]),
    "mid_index": np.array([3, 2, 1, 1, 1]),
    "genres_index": GENRES[np.array([3, 2, 1, 1, 1]) - 1],
    "gender_index": np.array([2, 1, 2, 0, 2]),
    "zip_z": np.array([0.5, -1, 0, 2, 0.5], np.float32),
}


@pytest.fixture(scope="module")
def sides():
    return (
        Side.of("user", features.UID, features.USER_FEATURES, FIELDS, NUMBERS, COLUMNS),
        Side.of("movie", features.MID, features.MOVIE_FEATURES, FIELDS, NUMBERS, COLUMNS),
    )


@pytest.fixture
def model():
    return build_model(CONFIG, FIELDS, NUMBERS, 3.5, 1)


def test_design(sides):
    users, movies = sides
    # The genders 1, 2 and the OOV bucket, then the zip.
    assert users.design.tolist() == [[0, 1, 0, 0.5], [1, 0, 0, -1], [0, 1, 0, 0], [0, 0, 0, 2]]
    assert movies.design.tolist() == OF_MOVIES


def test_a_model_says_what_it_was_given(sides, model):
    rng = np.random.default_rng(2)
    for side in sides:
        vectors = rng.normal(size=(len(side.design), 3)).astype(np.float32)
        side.assign(model, vectors, np.ones(len(vectors), bool))
        np.testing.assert_allclose(side.vectors(model), vectors, atol=1e-6)


def test_the_model_adds_the_vectors_up(sides, model):
    rng = np.random.default_rng(3)
    users, movies = (rng.normal(size=(len(side.design), 3)).astype(np.float32) for side in sides)
    for side, vectors in zip(sides, (users, movies), strict=True):
        side.assign(model, vectors, np.ones(len(vectors), bool))
    model.get_layer("deep_output").kernel.assign(np.zeros((3, 1)))
    rows = {name: column for name, column in COLUMNS.items()} | {"timestamp": np.full(5, 978_300_000)}
    p, q = users[COLUMNS["uid_index"] - 1], movies[COLUMNS["mid_index"] - 1]
    said = 3.5 + p[:, 2] + q[:, 2] + np.sum(p[:, :2] * q[:, :2], axis=1)
    np.testing.assert_allclose(model(rows), np.clip(said, 1, 5), atol=1e-5)


def test_an_unknown_id_gets_what_its_features_say(sides, model):
    users, _ = sides
    vectors = np.array([[1, 0, 0], [-1, 0, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    intercept, effects = users.expected(vectors, np.ones(4, bool))
    users.assign(model, vectors, np.ones(len(vectors), bool))
    table = model.get_layer("uid_embedding").table.numpy()
    np.testing.assert_allclose(table[5], intercept[:2], atol=1e-6)
    assert table[0].tolist() == [0, 0]
    assert effects[1, 0] > 0 > effects[0, 0]  # gender 2 is above gender 1
    assert effects[2].tolist() == [0, 0, 0]  # nobody has the OOV bucket


def test_an_entry_without_ratings_is_no_evidence(sides, model):
    users, _ = sides
    vectors = np.array([[1, 0, 0], [-1, 0, 0], [9, 9, 9], [0, 0, 0]], np.float32)
    known = np.array([True, True, False, True])
    intercept, effects = users.expected(vectors, known)
    users.assign(model, vectors, known)
    table = model.get_layer("uid_embedding").table.numpy()
    np.testing.assert_allclose(table[[3, 5]], [intercept[:2]] * 2, atol=1e-6)
    np.testing.assert_allclose(model.get_layer("gender_embedding").table[1:], effects[:3, :2], atol=1e-6)
    np.testing.assert_allclose(users.vectors(model), users.completed(vectors, known), atol=1e-6)


def test_of_whom_nothing_is_known_the_mean_is_expected():
    rng = np.random.default_rng(4)
    genders = np.repeat([1, 2], [92, 8])
    columns = {"uid_index": np.arange(1, 101), "gender_index": genders}
    fields = [dataclasses.replace(FIELDS[0], vocabulary_size=100), FIELDS[3]]
    side = Side.of("user", features.UID, features.USER_FEATURES, fields, [], columns)
    vectors = (np.select([genders == 1, genders == 2], [1.0, -1.0]) + rng.normal(size=100)) * np.ones((3, 1))
    intercept, effects = side.expected(vectors.T, np.ones(100, bool))
    np.testing.assert_allclose(intercept, vectors.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(92 * effects[0] + 8 * effects[1], np.zeros(3), atol=1e-4)
    assert effects[0, 0] > 0.05
    assert effects[2].tolist() == [0, 0, 0]  # nobody has the OOV bucket


def test_completed_replaces_what_is_not_known(sides):
    users, _ = sides
    vectors = np.array([[1, 0, 0], [-1, 0, 0], [9, 9, 9], [0, 0, 0]], np.float32)
    known = np.array([True, True, False, True])
    completed = users.completed(vectors, known)
    np.testing.assert_array_equal(completed[known], vectors[known])
    intercept, effects = users.expected(vectors, known)
    np.testing.assert_allclose(completed[2], intercept + effects[1], atol=1e-6)
    assert np.abs(completed[2]).max() < 1
    assert users.completed(vectors, np.ones(4, bool)) is vectors
