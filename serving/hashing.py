"""A hash of ids that is the same in every process and in every version of the project."""

from typing import Final

_BITS: Final = (1 << 64) - 1


def mix(value: int) -> int:
    """Spread 64-bit integers over 0 … 2^64 - 1, each output bit depending on every input bit.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2714064.2660195).
    """
    z = (value + 0x9E3779B97F4A7C15) & _BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _BITS
    return z ^ (z >> 31)
