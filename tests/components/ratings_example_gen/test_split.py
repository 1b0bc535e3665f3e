import numpy as np
import pytest

from components.ratings_example_gen import split
from components.ratings_example_gen.config import ExampleGenConfig

CONFIG = ExampleGenConfig()


def test_mix_is_splitmix64():
    # First outputs of SplitMix64 seeded with 0 and 1234567, from the reference implementation.
    assert split.mix(np.array([0, 1234567], np.uint64)).tolist() == [
        16294208416658607535,
        6457827717110365317,
    ]


def test_the_evaluation_span_is_test_and_the_hash_divides_the_rest():
    hashes = np.array([0, 2**60, 2**63, 2**64 - 1, 0], np.uint64)
    evaluation = np.array([False, False, False, True, True])
    # 2**60 is the hash 0.0625, above the share of 0.05.
    assert split.split_by_span(hashes, evaluation, CONFIG).tolist() == [1, 0, 0, 2, 2]


def test_hash_split_has_the_configured_shares_and_ignores_order():
    uid, mid = np.divmod(np.arange(200_000), 400)
    splits = split.split_by_hash(split.row_hash(uid, mid, 0), CONFIG)
    shares = np.bincount(splits, minlength=3) / len(splits)
    np.testing.assert_allclose(shares, [0.85, 0.05, 0.10], atol=0.003)
    order = np.random.default_rng(0).permutation(len(uid))
    shuffled = split.split_by_hash(split.row_hash(uid[order], mid[order], 0), CONFIG)
    np.testing.assert_array_equal(shuffled, splits[order])
    other = split.split_by_hash(split.row_hash(uid, mid, 1), CONFIG)
    assert (other != splits).mean() > 0.2


def test_time_split_cuts_on_full_hours():
    rows_by_hour = dict.fromkeys(range(100, 200), 10)
    boundaries = split.time_boundaries(rows_by_hour, CONFIG)
    assert boundaries == (185 * 3600, 190 * 3600)
    timestamps = np.array([184 * 3600 + 3599, 185 * 3600, 190 * 3600 - 1, 190 * 3600])
    assert split.split_by_time(timestamps, boundaries).tolist() == [
        split.TRAIN,
        split.VALID,
        split.VALID,
        split.TEST,
    ]


def test_too_short_a_timeline_is_refused():
    with pytest.raises(ValueError, match="span too little time"):
        split.time_boundaries({1: 1000}, CONFIG)


def test_config_names_the_field_and_the_value():
    with pytest.raises(ValueError, match=r"`test_fraction` must be between 0 and 1, got 1\.5"):
        ExampleGenConfig(test_fraction=1.5)
    config = ExampleGenConfig(split="time", cold_below=3)
    assert ExampleGenConfig.from_json(config.to_json()) == config
