import dataclasses
import json
import shutil

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from tfx.components.tuner.executor import write_best_hyperparameters
from tfx.types import standard_artifacts

from components.deepfm.config import DeepFMConfig
from components.deepfm.model import USER_DRIFT
from components.gibbs.config import GibbsConfig
from components.gibbs.examples import Examples
from components.gibbs.fit import fit, new_model
from components.gibbs.search_space import search_space
from components.gibbs.trials import read_trials
from components.gibbs.tuner_fn import tuner_fn
from components.trainer.history import HISTORY_FILE, read_history
from schema import features
from tests.conftest import TRAIN_ROWS, VALID_ROWS, fn_args, transform

MODEL = DeepFMConfig(
    architecture="two_sided",
    embedding_dim=2,
    hidden_units=(4,),
    embedding_l2=0.0,
    oov_dropout_rate=0.0,
    drift_seconds=(3600.0,),
)
CONFIG = GibbsConfig(burn_in=4, settling=1, sweeps=4, implicit_rank=4, deep_batch_size=64)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return transform(tmp_path_factory.mktemp("transformed"), TRAIN_ROWS + VALID_ROWS)


def arguments(data, folder, trials, seed=0):
    """What TFX's Tuner gives a search."""
    given = fn_args(data, folder, MODEL, dataclasses.replace(CONFIG, seed=seed))
    given.working_dir = str(folder)
    given.custom_config["trials"] = trials
    return given


def search(data, folder, trials=2, seed=0):
    """Search as TFX's Tuner does; return the tuner."""
    found = tuner_fn(arguments(data, folder, trials, seed))
    found.tuner.search(**found.fit_kwargs)
    return found.tuner


def trials_of(tuner):
    return [
        (trial.trial_id, trial.score, trial.hyperparameters.values) for trial in tuner.oracle.trials.values()
    ]


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    return search(data, tmp_path_factory.mktemp("search"))


def test_the_first_trial_is_the_preset_and_the_next_another(searched):
    (_, first, preset), (_, second, other) = trials_of(searched)
    assert preset == search_space(MODEL, CONFIG).values
    assert preset.keys() == other.keys()
    assert preset != other
    assert 0.5 < first < 2.5
    assert 0.5 < second < 2.5
    assert first != second


def test_the_same_seed_gives_the_same_trials_and_scores(searched, data, tmp_path):
    assert trials_of(search(data, tmp_path / "again")) == trials_of(searched)
    others = trials_of(search(data, tmp_path / "other", seed=1))
    assert [values for _, _, values in others] != [values for _, _, values in trials_of(searched)]


def test_each_trial_has_the_history_of_its_burn_in(searched):
    for trial in searched.oracle.trials:
        assert len(read_history(searched.get_trial_dir(trial)).steps) == CONFIG.burn_in


def with_valid_ratings(data, folder, rating):
    """The same data, but for the ratings of the validation rows."""
    shutil.copytree(data.folder / "graph", folder / "graph")
    shutil.copy(data.folder / "train.gz", folder)
    with tf.io.TFRecordWriter(str(folder / "valid.gz"), "GZIP") as writer:
        for row in tf.data.TFRecordDataset(str(data.folder / "valid.gz"), "GZIP").as_numpy_iterator():
            example = tf.train.Example.FromString(row)
            example.features.feature[features.LABEL.name].float_list.value[:] = [rating]
            writer.write(example.SerializeToString())
    return dataclasses.replace(data, folder=folder)


def test_no_rating_of_the_validation_rows_reaches_what_is_fitted(data, tmp_path):
    """Where the predictions stay, their mean squared error from a constant c has the curvature of c^2."""
    squares = []
    for rating in (0.0, 1.0, 2.0):
        folder = tmp_path / str(rating)
        changed = with_valid_ratings(data, folder, rating)
        ((_, score, _),) = trials_of(search(changed, folder / "search", trials=1))
        squares.append(score**2)
    assert np.diff(squares, 2) == pytest.approx([2.0], abs=1e-5)


def test_a_score_is_the_error_of_the_whole_model(searched, data, tmp_path):
    examples = Examples.read(arguments(data, tmp_path, 1), MODEL)
    ratings = examples.ratings(examples.train)
    assert len(ratings) == TRAIN_ROWS
    model = new_model(examples, ratings, MODEL, CONFIG.seed)
    fit(
        model,
        examples,
        ratings,
        MODEL,
        CONFIG,
        warm=False,
        folder=str(tmp_path),
        report=lambda share, text: None,
    )
    assert np.abs(model.get_layer("deep_output").get_weights()[0]).max() > 0
    assert np.abs(model.get_layer(USER_DRIFT).levels.numpy()).max() > 0
    rows = data.transformed[TRAIN_ROWS:]
    said = model(
        {name: np.array([row[name] for row in rows], value.dtype) for name, value in model.input.items()}
    )
    errors = np.ravel(said) - np.array([row[features.LABEL.name] for row in rows])
    assert trials_of(searched)[0][1] == pytest.approx(np.sqrt(np.mean(errors**2)), abs=1e-5)


def test_the_tuner_s_artifacts_hold_the_trials_best_first(searched, tmp_path):
    outputs = {}
    for name, kind in (
        ("best_hyperparameters", standard_artifacts.HyperParameters),
        ("tuner_results", standard_artifacts.TunerResults),
    ):
        outputs[name] = [kind()]
        outputs[name][0].uri = str(tmp_path / name)
    write_best_hyperparameters(searched, outputs)
    expected = sorted((score, int(name) + 1, values) for name, score, values in trials_of(searched))
    found = read_trials(str(tmp_path / "tuner_results"))
    assert [(trial.validation_rmse, trial.number, trial.hyperparameters) for trial in found] == expected
    best = json.loads((tmp_path / "best_hyperparameters" / "best_hyperparameters.txt").read_text())
    assert best["values"] == expected[0][2]


def test_a_fit_that_fails_ends_the_search(data, tmp_path):
    (tmp_path / "search" / "trial_0" / HISTORY_FILE).mkdir(parents=True)
    with pytest.raises(keras_tuner.errors.FatalError, match="trial 1 failed: FailedPreconditionError: "):
        search(data, tmp_path)
