"""Which split a rating belongs to."""

from collections.abc import Mapping

import numpy as np

from components.ratings_example_gen.config import ExampleGenConfig

SPLITS = ("train", "valid", "test")
TRAIN, VALID, TEST = range(len(SPLITS))

SECONDS_PER_HOUR = 3600


def mix(values: np.ndarray) -> np.ndarray:
    """Spread uint64[n] over uint64[n], each output bit depending on every input bit.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2714064.2660195).
    """
    z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def row_hash(uid: np.ndarray, mid: np.ndarray, seed: int) -> np.ndarray:
    """Hash int64[n] pairs to uint64[n]; depends on nothing but the pair and the seed."""
    return mix(mix(mix(np.full(1, seed, np.uint64)) ^ uid.astype(np.uint64)) ^ mid.astype(np.uint64))


def split_by_hash(hashes: np.ndarray, config: ExampleGenConfig) -> np.ndarray:
    """Return the split of each row, int8[n], from uniform hashes uint64[n]."""
    test = np.uint64(config.test_fraction * 2**64)
    valid = np.uint64((config.test_fraction + config.valid_fraction) * 2**64)
    return np.where(hashes < test, TEST, np.where(hashes < valid, VALID, TRAIN)).astype(np.int8)


def split_by_span(hashes: np.ndarray, evaluation: np.ndarray, config: ExampleGenConfig) -> np.ndarray:
    """Return the split of each row, int8[n].

    Args:
        hashes: uniform, uint64[n].
        evaluation: which rows are of the evaluation span, the test split, bool[n].
        config: gives the share of the others that is the valid split.
    """
    valid = np.uint64(config.valid_fraction * 2**64)
    return np.where(evaluation, TEST, np.where(hashes < valid, VALID, TRAIN)).astype(np.int8)


def time_boundaries(rows_by_hour: Mapping[int, int], config: ExampleGenConfig) -> tuple[int, int]:
    """Return the first second of the valid and of the test split.

    The boundaries lie on full hours: the earliest ones after which at most the configured share of
    the rows remains.

    Args:
      rows_by_hour: number of rows in each hour since 1970.
      config: gives the shares of the two splits.

    Raises:
      ValueError: the rows span too few hours to be split.
    """
    hours = np.array(sorted(rows_by_hour), np.int64)
    remaining = np.cumsum([rows_by_hour[hour] for hour in hours[::-1]])[::-1]
    total = remaining[0] if len(hours) else 0

    def first_hour(fraction: float) -> int:
        candidates = hours[remaining <= fraction * total]
        if not len(candidates):
            raise ValueError(
                f"the last hour alone holds more than {fraction:.0%} of the {total} ratings: "
                "they span too little time for a split by time; use the random split"
            )
        return int(candidates[0])

    valid = first_hour(config.valid_fraction + config.test_fraction)
    test = first_hour(config.test_fraction)
    if not hours[0] < valid < test:
        raise ValueError(f"{len(hours)} hours with ratings are too few for a split by time")
    return valid * SECONDS_PER_HOUR, test * SECONDS_PER_HOUR


def split_by_time(timestamps: np.ndarray, boundaries: tuple[int, int]) -> np.ndarray:
    """Return the split of each row, int8[n], from int64[n] seconds and `time_boundaries`."""
    valid, test = boundaries
    return np.where(timestamps >= test, TEST, np.where(timestamps >= valid, VALID, TRAIN)).astype(np.int8)
