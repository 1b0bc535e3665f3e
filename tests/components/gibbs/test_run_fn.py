import dataclasses
import json
import shutil

import keras
import numba
import numpy as np
import pytest
import tensorflow_transform as tft
import threadpoolctl

from components.deepfm.config import DeepFMConfig
from components.gibbs.config import GibbsConfig
from components.gibbs.run_fn import run_fn
from components.serving_validator.executor import training_scores
from components.trainer.history import SWEEP, read_history
from components.trainer.model_files import KERAS_MODEL_PATH, KERAS_ORDER_PATH
from components.trainer.start import Start
from components.trainer.warm_start import WARM_START_FILE
from schema import features
from serving.saved_model import SessionModel
from tests.conftest import TRAIN_ROWS, VALID_ROWS, examples, fn_args, request, transform

MODEL = DeepFMConfig(
    architecture="two_sided",
    embedding_dim=6,
    chains=2,
    hidden_units=(4,),
    embedding_l2=0.0,
    oov_dropout_rate=0.0,
    drift_seconds=(3600.0, 86_400.0),
)
CONFIG = GibbsConfig(
    burn_in=6, settling=1, sweeps=8, warm_burn_in=2, implicit_rank=4, deep_batch_size=64, choice_dim=4
)

ONCE = (features.UID, features.GENDER, features.AGE, features.OCCUPATION)  # of a ranking


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return transform(tmp_path_factory.mktemp("transformed"), TRAIN_ROWS + VALID_ROWS)


@pytest.fixture(scope="module")
def sample(data, tmp_path_factory):
    def run(base=None, **changes):
        folder = tmp_path_factory.mktemp("sampled")
        run_fn(fn_args(data, folder, MODEL, dataclasses.replace(CONFIG, **changes), base))
        return folder

    return run


@pytest.fixture(scope="module")
def sampled(sample):
    return sample()


def asked(folder, data):
    """What the SavedModel says of all rows, in a Session."""
    with SessionModel(folder / "model") as session:
        return session.run("serving_default", {"examples": data.examples})[features.RATING.name].ravel()


def kept(folder):
    return keras.models.load_model(folder / "model" / KERAS_MODEL_PATH)


def movie_embeddings(folder):
    """All entries of the movies' table."""
    return kept(folder).get_layer(f"{features.MID.name}_embedding").table.numpy().ravel()


def transformed(data, model, moment):
    """All rows as Beam transformed them, for the model: at their own moment, else at the end of the data."""
    columns = {
        name: np.array([row[name] for row in data.transformed], value.dtype)
        for name, value in model.input.items()
    }
    moments = columns[features.TIMESTAMP.name]
    if moment != "own":
        moments[:] = moments.max()
    return columns


def raw(data, moment):
    """All rows as a client has them: at their own moment, at a missing one or with none."""
    rows = [dict(row) for row in data.rows]
    for row in rows:
        if moment == "missing":
            row[features.TIMESTAMP.name] = features.MISSING_INT
        elif moment == "none":
            del row[features.TIMESTAMP.name]
    return rows


@pytest.mark.parametrize(
    ("signature", "moment"),
    [
        ("serving_default", "own"),
        ("serving_default", "missing"),
        ("serving_default", "none"),
        ("predict", "own"),
        ("predict", "missing"),
    ],
)
def test_a_session_says_what_the_training_graph_says(sampled, data, signature, moment):
    model, rows = kept(sampled), raw(data, moment)
    inputs = {"examples": examples(rows)} if signature == "serving_default" else request(rows)
    with SessionModel(sampled / "model") as session:
        said = session.run(signature, inputs)[features.RATING.name].ravel()
    np.testing.assert_allclose(said, model(transformed(data, model, moment)), rtol=0, atol=1e-5)
    if moment != "own":
        assert np.abs(said - model(transformed(data, model, "own"))).max() > 0.01


@pytest.mark.parametrize("moment", ["own", "missing"])
def test_a_ranking_has_the_ratings_of_the_training_graph(sampled, data, moment):
    model, rows = kept(sampled), raw(data, moment)
    columns = transformed(data, model, moment)
    movies = list({row[features.MID.name]: number for number, row in enumerate(rows)}.values())
    once = (features.UID, *features.USER_FEATURES, features.TIMESTAMP)
    of_movies = {features.MID.index_name, features.GENRES.index_name}
    with SessionModel(sampled / "model") as session:
        for asked in range(0, len(rows), 7):
            inputs = request([rows[movie] for movie in movies])
            for feature in once:
                inputs[feature.name] = request(rows[asked : asked + 1])[feature.name]
            found = session.run("rank", inputs)
            expected = model(
                {
                    name: column[movies] if name in of_movies else column[[asked] * len(movies)]
                    for name, column in columns.items()
                }
            )
            np.testing.assert_allclose(
                found[features.RATING.name][np.argsort(found[features.MID.name])],
                np.take(expected, np.argsort(inputs[features.MID.name])),
                rtol=0,
                atol=1e-5,
            )


def candidates(data, row, timestamp):
    """What `predict` takes of every movie of the rows for the user of one row."""
    movies = list({row[features.MID.name]: row for row in data.rows}.values())
    inputs = {
        feature.name: np.array([(data.rows[row] if feature in ONCE else m)[feature.name] for m in movies])
        for feature in (*ONCE, features.MID)
    }
    inputs[features.GENDER.name] = inputs[features.GENDER.name].astype(object)
    return inputs | {
        features.ZIP.name: np.full(len(movies), "", object),
        features.GENRES.name: np.full((len(movies), 1), "Drama", object),
        features.TIMESTAMP.name: np.full(len(movies), timestamp),
    }


def ranked(folder, inputs):
    """What `rank` says of candidates."""
    once = (*ONCE, features.ZIP, features.TIMESTAMP)
    with SessionModel(folder / "model") as session:
        return session.run("rank", inputs | {feature.name: inputs[feature.name][:1] for feature in once})


@pytest.mark.parametrize("late", [0, 3601, None])
def test_a_ranking_is_in_the_order_of_the_training_graph(sampled, data, late):
    last = len(data.rows) - 1  # of all, so of its user too
    moment = data.rows[last][features.TIMESTAMP.name]
    asked = candidates(data, last, features.MISSING_INT if late is None else moment + late)
    found = ranked(sampled, asked)
    in_request = np.argsort(found[features.MID.name])[np.argsort(np.argsort(asked[features.MID.name]))]
    scores = found[features.SCORE.name]
    expected = training_scores(
        str(sampled / "model" / KERAS_ORDER_PATH),
        tft.TFTransformOutput(str(data.folder / "graph")),
        asked,
        found[features.RATING.name][in_request],
    )
    np.testing.assert_allclose(scores[in_request], expected, atol=1e-5)
    assert np.all(np.diff(scores) <= 0)
    assert np.any(np.diff(found[features.RATING.name]) > 0)
    if late != 0:
        at_once = ranked(sampled, candidates(data, last, moment))
        # Beside the drift of the rating, which is the same for all movies.
        assert np.ptp(np.sort(scores) - np.sort(at_once[features.SCORE.name])) > 1e-3


def test_the_history_is_that_of_the_burn_in(sampled):
    history = read_history(str(sampled / "run"))
    assert history.unit == SWEEP
    assert [step.number for step in history.steps] == [1, 2, 3, 4, 5, 6]
    assert all(0.5 < step.validation_rmse < 2.5 for step in history.steps)
    assert Start.read(str(sampled / "run")).version is None


def test_the_same_seed_gives_the_same_model_and_another_another(sample, sampled, data):
    same = sample()
    first, again, other = (asked(folder, data) for folder in (sampled, same, sample(seed=1)))
    np.testing.assert_array_equal(first, again)
    orders = [keras.models.load_model(f / "model" / KERAS_ORDER_PATH).get_weights() for f in (sampled, same)]
    for one, two in zip(*orders, strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.skipif(numba.get_num_threads() == 1, reason="there is one core")
def test_the_number_of_threads_does_not_move_embeddings_and_drift(sample, sampled):
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpoolctl.threadpool_limits(1):
            one = sample()
    finally:
        numba.set_num_threads(threads)
    for name in ("uid_embedding", "mid_embedding", "user_drift"):
        for weight, of_one in zip(
            *(kept(folder).get_layer(name).get_weights() for folder in (sampled, one)), strict=True
        ):
            np.testing.assert_array_equal(weight, of_one)


def test_a_warm_start_goes_on_with_the_served_vectors(sample, sampled, data):
    folder = sample(base=sampled)
    start = Start.read(str(folder / "run"))
    assert start.version == 7
    assert start.entries[features.UID.name].new == 0
    assert len(read_history(str(folder / "run")).steps) == CONFIG.warm_burn_in
    served, warm, cold = (movie_embeddings(model) for model in (sampled, folder, sample(seed=1)))
    assert np.corrcoef(served, warm)[0, 1] > 0.7
    assert np.corrcoef(served, cold)[0, 1] < 0.4
    again = sample(base=folder)
    assert Start.read(str(again / "run")).version == 7


def test_a_warm_start_has_the_mean_of_its_own_ratings(sample, sampled, data, tmp_path):
    shutil.copytree(sampled, tmp_path / "base")
    path = tmp_path / "base" / "model" / WARM_START_FILE
    with np.load(path) as served:
        values = dict(served)
    (name,) = (name for name in values if name.endswith("combination/w_0"))
    mean = np.mean([row[features.RATING.name] for row in data.rows])
    assert values[name] == pytest.approx(mean)
    values[name] += 1.0
    np.savez(path, **values)
    folder = sample(base=tmp_path / "base")
    assert Start.read(str(folder / "run")).version == 7
    assert float(kept(folder).get_layer("combination").w_0) == pytest.approx(mean)


def test_drift_is_of_the_users_who_rated(sampled, data):
    drift = kept(sampled).get_layer("user_drift")
    seconds = {(row[features.UID.name], row[features.TIMESTAMP.name]) for row in data.rows}
    assert drift.keys.shape == (1 + len(seconds),)
    assert np.all(np.diff(drift.keys.numpy()) > 0)
    assert int(drift.latest) == max(row[features.TIMESTAMP.name] for row in data.rows)


def test_ids_outside_the_vocabulary_are_an_error(tmp_path, tmp_path_factory):
    data = transform(tmp_path_factory.mktemp("transformed"), TRAIN_ROWS)
    with pytest.raises(ValueError, match="rows are of a user outside the vocabulary; Transform must analyze"):
        run_fn(fn_args(data, tmp_path, MODEL, CONFIG))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"burn_in": 0}, "`burn_in` must be positive, got 0"),
        ({"sweeps": -1}, "`sweeps` must be positive, got -1"),
        ({"settling": -1}, "`settling` must not be negative, got -1"),
        ({"choice_rating_weight": -0.5}, "`choice_rating_weight` must not be negative, got -0.5"),
        ({"choice_epochs": 0}, "`choice_epochs` must be positive, got 0"),
        ({"deep_share": 1.5}, "`deep_share` must be above 0 and at most 1, got 1.5"),
        ({"seed": -1}, r"`seed` must be from 0 to 2\*\*32 - 1, got -1"),
        ({"method": "gradient"}, "`method` must be 'gibbs', got 'gradient'"),
    ],
)
def test_config_rejects(changes, message):
    with pytest.raises(ValueError, match=message):
        GibbsConfig(**changes)


def test_config_round_trip():
    config = GibbsConfig(sweeps=3)
    assert GibbsConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["method"] == "gibbs"
