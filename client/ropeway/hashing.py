"""Keyed permutations of 64-bit words: the hashes that orders, draws and stand-ins are made by. Part of the format.

Arithmetic alone: the same on every machine and NumPy version, which no random generator's shuffle promises.
"""

import numpy as np
import numpy.typing as npt

from ropeway.samples import Ints

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_UNDO_FIRST: int = pow(_FIRST, -1, 1 << 64)
_UNDO_SECOND: int = pow(_SECOND, -1, 1 << 64)

Words = npt.NDArray[np.uint64]


def mix(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014; Stafford's variant 13): a bijection of 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
    return words ^ (words >> np.uint64(31))


def unmix(words: Words) -> Words:
    """What `mix` made these words of."""
    words = _unshifted(words, 31) * np.uint64(_UNDO_SECOND)
    words = _unshifted(words, 27) * np.uint64(_UNDO_FIRST)
    return _unshifted(words, 30)


def _unshifted(words: Words, by: int) -> Words:
    """The words w whose `w ^ (w >> by)` these are; `by` is at least 22."""
    once: Words = words ^ (words >> np.uint64(by))
    return once ^ (words >> np.uint64(2 * by))


def fold(*parts: int) -> np.uint64:
    """A key from whole numbers, each taken modulo 2⁶⁴: `fold(seed, epoch, purpose)`."""
    word = np.zeros(1, np.uint64)
    for part in parts:
        word = mix((word + _GOLDEN) ^ np.uint64(part % (1 << 64)))
    return np.uint64(word[0])


def keyed(numbers: npt.NDArray[np.integer], key: np.uint64) -> Words:
    """A keyed hash of whole numbers: different numbers have different hashes, so sorting by it is one permutation."""
    return mix(mix(numbers.astype(np.uint64) + key) ^ key)


def unkeyed(hashes: Words, key: np.uint64) -> Ints:
    """The numbers below 2⁶³ that `keyed` hashed."""
    return (unmix(unmix(hashes) ^ key) - key).astype(np.int64)
