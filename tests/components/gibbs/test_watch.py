import contextlib
import types

import numpy as np
import pytest

from components.deepfm.fields import CategoricalField
from components.deepfm.user_drift import UserDrift
from components.gibbs.chains import Chains
from components.gibbs.means import assign_drift, place_drift
from components.gibbs.sides import Side
from components.gibbs.watch import Watch
from components.trainer.history import read_history
from tests.components.gibbs.conftest import MOVIES, USERS
from tests.components.gibbs.test_sampler import chain

VALID = slice(1300, None)


def side(name, field, size):
    identity = CategoricalField(name=field, index_name=f"{field}_index", vocabulary_size=size)
    return Side(name, identity, [], [], np.zeros((size, 0), np.float32))


@pytest.fixture
def examples(world):
    return types.SimpleNamespace(
        users=side("user", "uid", USERS),
        movies=side("movie", "mid", MOVIES),
        valid={
            "uid_index": world.user[VALID] + 1,
            "mid_index": world.movie[VALID] + 1,
            "timestamp": world.time[VALID],
            "rating": world.rating[VALID],
        },
    )


def said(world, chains):
    """What two chains say of the validation rows."""
    user, movie = world.user[VALID], world.movie[VALID]
    layer = UserDrift(USERS + 2, 1 + len(chains.ratings.cells), chains.moments.seconds)
    layer.build([(None,), (None,)])
    place_drift(layer, chains.ratings)
    assign_drift(layer, chains.moments, chains.levels, chains.slope, chains.stages)
    total = chains.ratings.mean + np.ravel(layer([user + 1, world.time[VALID]]))
    for own in chains.each:
        p, q = own.users.mean[user], own.movies.sample[movie]
        total += (np.sum(p[:, :-1] * q[:, :-1], axis=1) + p[:, -1] + q[:, -1]) / 2
    return np.clip(total, 1, 5)


def test_measures_the_mean_of_what_is_said_from_a_sweep_on(world, examples, tmp_path):
    chains = Chains([chain(world, seed=seed) for seed in (1, 2)])
    found, residuals, of_sweeps = [], [], []
    with contextlib.closing(Watch(examples, chains, first=1, folder=str(tmp_path))) as watch:
        for sweep in range(3):
            chains.sweep()
            found.append(watch.note(chains, sweep))
            residuals.append(chains.residuals)
            of_sweeps.append(said(world, chains))
    means = [of_sweeps[0], of_sweeps[1], (of_sweeps[1] + of_sweeps[2]) / 2]
    errors = [mean - world.rating[VALID] for mean in means]
    np.testing.assert_allclose(found, [np.sqrt(np.mean(error**2)) for error in errors], rtol=1e-5)
    steps = read_history(str(tmp_path)).steps
    assert [step.number for step in steps] == [1, 2, 3]
    assert [step.validation_rmse for step in steps] == found
    np.testing.assert_allclose(
        [step.validation_mae for step in steps], [np.mean(np.abs(error)) for error in errors], rtol=1e-5
    )
    np.testing.assert_allclose(
        [step.train_rmse for step in steps], [np.sqrt(np.mean(r**2)) for r in residuals], rtol=1e-5
    )
    assert list(tmp_path.glob("events.out.tfevents.*"))
