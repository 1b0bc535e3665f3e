import itertools

import numpy as np
import pytest

from components.ratings_example_gen import split
from serving import release
from serving.client.routing import CanaryRouter, OneVersion, ReleaseRouter
from serving.hashing import mix


def test_it_is_the_finalizer_of_splitmix64():
    # The first outputs of the reference implementation (https://prng.di.unimi.it/splitmix64.c) for the
    # seeds 0, 1 and 2^64 - 1.
    assert [mix(value) for value in (0, 1, 2**64 - 1)] == [
        0xE220A8397B1DCDAF,
        0x910A2DEC89025CC1,
        0xE4D971771B652C20,
    ]
    assert mix(-1) == mix(2**64 - 1)


def test_it_hashes_as_the_splits_of_the_ratings_do():
    uids = np.random.default_rng(0).integers(-(2**63), 2**63, 1000)
    assert [mix(uid) for uid in uids.tolist()] == split.mix(uids).tolist()


def test_the_users_of_a_canary_are_always_the_same():
    router = CanaryRouter(25)
    canary = [uid for uid in range(1, 41) if router.version(uid) == "canary"]
    assert canary == [3, 10, 18, 20, 21, 33, 40]
    assert {router.version(uid) for uid in range(1, 41)} == {"canary", "stable"}


@pytest.mark.parametrize("percent", [0.1, 1, 5, 50, 99])
def test_a_canary_gets_its_share(percent):
    users = 100_000
    router = CanaryRouter(percent)
    share = sum(router.version(uid) == "canary" for uid in range(users)) / users
    p = percent / 100
    assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / users))


def test_each_range_of_users_gets_its_share():
    router = CanaryRouter(20)
    canary = np.array([router.version(uid) == "canary" for uid in range(100_000)])
    for shares in (canary.reshape(10, -1).mean(axis=1), canary.reshape(-1, 10).mean(axis=0)):
        assert shares == pytest.approx(np.full(10, 0.2), abs=4 * np.sqrt(0.2 * 0.8 / 10_000))


def test_a_larger_share_only_adds_users():
    chosen = [
        {uid for uid in range(2000) if CanaryRouter(percent).version(uid) == "canary"}
        for percent in (0, 0.5, 1, 5, 5.5, 20, 50, 99.9, 100)
    ]
    assert all(fewer < more for fewer, more in itertools.pairwise(chosen))
    assert chosen[0] == set()
    assert chosen[-1] == set(range(2000))


def test_one_version_is_for_all_users():
    assert [OneVersion(7).version(uid) for uid in (1, 2)] == [7, 7]
    assert OneVersion("canary").version(1) == "canary"


@pytest.mark.parametrize("percent", [-0.1, 100.5, float("nan")])
def test_the_share_is_a_percentage(percent):
    with pytest.raises(ValueError, match=f"`percent` must be from 0 to 100, got {percent}"):
        CanaryRouter(percent)


def test_a_router_follows_the_releases(tmp_path):
    base = tmp_path / "deepfm"
    for version in (1, 2):
        (base / str(version)).mkdir(parents=True)
        (base / str(version) / "saved_model.pb").touch()
    router = ReleaseRouter(base)
    assert router.version(7) is None
    release.promote(base, 1, "")
    assert {router.version(uid) for uid in range(100)} == {"stable"}
    release.canary(base, 2, 50.0, "")
    labels = [router.version(uid) for uid in range(1000)]
    assert labels == [CanaryRouter(50.0).version(uid) for uid in range(1000)]
    assert 400 < labels.count("canary") < 600
    release.canary(base, 2, 0.0, "")
    assert {router.version(uid) for uid in range(100)} == {"stable"}
