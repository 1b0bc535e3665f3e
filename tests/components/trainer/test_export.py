"""The signatures of a model that reads the moment of a question; its ratings can be worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer.export import export
from schema import features
from serving.saved_model import SessionModel

FIRST = 956703932  # timestamp of the first row
MID, RATING, TIMESTAMP = features.MID.name, features.RATING.name, features.TIMESTAMP.name


@pytest.fixture(scope="module")
def model(timed):
    with SessionModel(timed) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def of_movies(data):
    """What each row's movie adds to the rating, float64[rows]."""
    return np.array([row[features.MID.index_name] for row in data.transformed]) / 64


def without_timestamp(serialized):
    example = tf.train.Example.FromString(serialized)
    del example.features.feature[TIMESTAMP]
    return example.SerializeToString()


def inputs(rows, timestamps):
    """What `predict` takes of rows without genres."""
    columns = {
        feature.name: np.array([row[feature.name] for row in rows])
        for feature in (features.UID, features.MID, features.AGE, features.OCCUPATION)
    }
    genders = np.array([row[features.GENDER.name] for row in rows], object)
    empty = np.full(len(rows), "", object)
    return columns | {
        features.GENDER.name: genders,
        features.ZIP.name: empty,
        features.GENRES.name: empty[:, np.newaxis],
        TIMESTAMP: np.array(timestamps, np.int64),
    }


def test_an_example_has_its_own_moment(model, data, of_movies):
    rated = model.run("serving_default", {"examples": data.examples})[RATING]
    assert rated.tolist() == (np.arange(len(data.rows)) + of_movies).tolist()


def test_an_example_without_a_moment_is_one_of_a_missing_moment(model, data, of_movies):
    examples = [without_timestamp(data.examples[0]), data.examples[1], without_timestamp(data.examples[2])]
    rated = model.run("serving_default", {"examples": np.array(examples, object)})[RATING]
    assert rated.tolist() == (np.array([1000, 1, 1000]) + of_movies[:3]).tolist()
    predicted = model.run("predict", inputs(data.rows[:3], [-1, FIRST + 3600, -1]))[RATING]
    assert predicted.tolist() == rated.tolist()


def test_each_pair_has_its_own_moment(model, data, of_movies):
    predicted = model.run("predict", inputs(data.rows[:3], [FIRST + 7199, FIRST, FIRST + 7200]))[RATING]
    assert predicted.tolist() == (np.array([1, 0, 2]) + of_movies[:3]).tolist()


@pytest.mark.parametrize(("timestamp", "hours"), [(FIRST + 36000, 10), (features.MISSING_INT, 1000)])
def test_the_movies_of_a_ranking_share_one_moment(model, data, of_movies, timestamp, hours):
    asked = inputs(data.rows[:20], [timestamp])
    for feature in (features.UID, *features.USER_FEATURES):
        asked[feature.name] = asked[feature.name][:1]
    ranked = model.run("rank", asked)
    order = np.argsort(-of_movies[:20], kind="stable")
    assert ranked[MID].tolist() == asked[MID][order].tolist()
    assert ranked[RATING].tolist() == (hours + of_movies[:20][order]).tolist()
    assert ranked[features.SCORE.name].tolist() == ranked[RATING].tolist()  # it has no other order


def test_a_ranking_is_by_score_and_ties_are_in_the_order_of_the_request(data, of_movies, tmp_path):
    index, rating = features.MID.index_name, features.RATING.name
    mid = keras.Input((), dtype="int64", name=index)
    rated = keras.Input((), dtype="float32", name=rating)
    model = keras.Model({index: mid}, keras.ops.cast(mid, "float32") / 64)
    # Odd ones first, and among the odd and the even the lowest rating, but for the first few.
    score = keras.ops.cast(mid % 2, "float32") - keras.ops.maximum(rated, 4 / 64)
    order = keras.Model({index: mid, rating: rated}, score)
    export(model, tft.TFTransformOutput(str(data.folder / "graph")), str(tmp_path), order)
    asked = inputs(data.rows[:20], [FIRST])
    for feature in (features.UID, *features.USER_FEATURES):
        asked[feature.name] = asked[feature.name][:1]
    with SessionModel(tmp_path) as session:
        ranked = session.run("rank", asked)
    scores = (64 * of_movies[:20]) % 2 - np.maximum(of_movies[:20], 4 / 64)
    best = np.argsort(-scores, kind="stable")
    assert len(set(scores)) < 20 > len(set(of_movies[:20]))
    assert ranked[MID].tolist() == asked[MID][best].tolist()
    assert ranked[features.SCORE.name].tolist() == scores[best].tolist()
    assert ranked[RATING].tolist() == of_movies[:20][best].tolist()
