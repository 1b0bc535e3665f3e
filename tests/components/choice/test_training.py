import numpy as np
import pytest

from components.choice import training
from components.choice.histories import Histories
from components.choice.training import ChoiceNetwork, histories_of_all, train

MOVIES, DIM = 8, 3
HISTORY = [4, 2, 7, 0, 5]


def histories(of_users, pauses=()):
    """Histories of given movies; each choice is a second after the one before, or an hour if in `pauses`."""
    counts = [len(movies) for movies in of_users]
    n = sum(counts)
    return Histories(
        movie=np.array([m for movies in of_users for m in movies], np.int32),
        paused=np.isin(np.arange(n), pauses).astype(np.int32),
        of_user=np.concatenate([[0], np.cumsum(counts)]),
        last=np.zeros(len(of_users), np.int64),
    )


@pytest.fixture
def network():
    rng = np.random.default_rng(1)
    network = ChoiceNetwork(np.arange(1, MOVIES + 1), {"colour": 3}, DIM, rng)
    network.set_weights([rng.normal(size=weight.shape) for weight in network.weights])
    return network


def added(network, movies, gate):
    """What a history adds to a user's vector, movie by movie."""
    past, share = network.past.numpy().reshape(MOVIES, 4, DIM), network.share.numpy()[gate]
    total = np.zeros(DIM)
    for ago, movie in enumerate(reversed(movies)):
        for part, tau in enumerate((1, 5, 25)):
            total += share[part] * np.exp(-ago / tau) * past[movie, part]
        total += share[3] * past[movie, 3] / np.sqrt(len(movies) + 10)
    return total


def test_a_history_adds_what_its_movies_add(network, monkeypatch):
    monkeypatch.setattr(training, "_USERS", 2)
    found = histories_of_all(network, histories([HISTORY, [], [3]]))
    for user, movies in enumerate((HISTORY, [], [3])):
        for gate in (0, 1):
            np.testing.assert_allclose(found[user, gate], added(network, movies, gate), atol=1e-5)
    assert not found[1].any()


def test_the_loss_is_that_of_each_choice_among_the_movies_not_chosen_before(network, monkeypatch):
    monkeypatch.setattr(training, "_DROPOUT", 0.0)
    of_users, colours = [HISTORY, [1, 6]], [2, 1]
    batch = training._batch(
        histories(of_users, pauses=[3, 6]), np.arange(2), MOVIES, np.random.default_rng(0)
    )
    losses, row = [], 0
    for movies, colour in zip(of_users, colours, strict=True):
        for place, movie in enumerate(movies):
            gate = int(row in (3, 6))
            vector = network.start.numpy()[gate] + network.effects["colour"].numpy()[colour]
            vector = vector + added(network, movies[:place], gate)
            logits = network.movie.numpy() @ vector + network.bias.numpy()
            left = np.delete(np.arange(MOVIES), movies[:place])
            losses.append(np.log(np.exp(logits[left]).sum()) - logits[movie])
            row += 1
    found = network.losses(batch, {"colour": np.array(colours)})
    np.testing.assert_allclose(found, losses, atol=1e-5)


def test_what_was_left_out_is_not_summed(network):
    history = np.array([HISTORY], np.int32)
    kept = np.array([[1, 0, 1, 0, 1]], np.float32)
    state = network.states(history, kept, np.array([[4]], np.int32)).numpy()[0, 0]
    past = network.past.numpy().reshape(MOVIES, 4, DIM)
    np.testing.assert_allclose(state[1], np.exp(-3 / 5) * past[4, 1] + np.exp(-1 / 5) * past[7, 1], atol=1e-5)
    np.testing.assert_allclose(state[3], (past[4, 3] + past[7, 3]) / np.sqrt(12), atol=1e-5)


def test_a_history_in_training_is_expected_to_be_the_one_that_is_served(network):
    draws = 20_000
    taught = histories([HISTORY] * draws)
    batch = training._batch(taught, np.arange(draws), MOVIES, np.random.default_rng(0))
    ends = np.full((draws, 1), len(HISTORY), np.int32)
    drawn = network.states(batch.history, batch.kept, ends).numpy()[:, 0]
    served = network.states(batch.history[:1], np.ones((1, len(HISTORY)), np.float32), ends[:1]).numpy()[0, 0]
    assert drawn.std(axis=0).min() > 0.01  # some are left out
    # The last sum is divided by a root of their number, so that its mean is a little off.
    np.testing.assert_allclose(drawn.mean(axis=0), served, rtol=0.01, atol=0.015)


@pytest.mark.parametrize(("most", "placed"), [(8_000_000, 5), (2 * 12 * MOVIES, 2)])
def test_a_step_is_bounded(monkeypatch, most, placed):
    monkeypatch.setattr(training, "_LOGITS", most)
    batch = training._batch(histories([HISTORY, [1]]), np.arange(2), MOVIES, np.random.default_rng(0))
    assert batch.valid.sum(axis=1).tolist() == [placed, 1]


def test_learns_what_comes_after_what():
    """Every history is a walk in which movie m + 1 comes after movie m, from any movie on."""
    rng = np.random.default_rng(5)
    movies, length = 20, 8
    walks = [[(start + step) % movies for step in range(length)] for start in rng.integers(0, movies, 300)]
    taught = histories(walks)
    losses = []
    network = train(
        taught,
        np.bincount(taught.movie, minlength=movies),
        {},
        dim=8,
        epochs=30,
        learning_rate=0.05,
        rng=rng,
        on_epoch=lambda _, loss: losses.append(loss),
    )
    vectors = histories_of_all(network, taught)[:, 0] + network.start.numpy()[0]
    scores = vectors @ network.movie.numpy().T + network.bias.numpy()
    for row, walk in zip(scores, walks, strict=True):
        row[walk] = -np.inf
    following = np.array([(walk[-1] + 1) % movies for walk in walks])
    assert np.mean(scores.argmax(axis=1) == following) > 0.95
    assert len(losses) == 30
    assert losses[0] > 2.5
    assert losses[-1] < 0.6  # the first movie of a walk is chance: log(20) / 8 = 0.37
