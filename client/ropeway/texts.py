"""Samples' keys as Python texts, as batches give them."""

import numpy as np
import pyarrow as pa

from ropeway.samples import Array, Ints

TEXT = 96
"""Bytes that a kept text takes: 49 and its letters, rounded up, what refers to it, and whether it is there."""


class Texts:
    """The keys of one view's samples. Texts that were made once are kept: making one takes as long as copying 1 KB.

    Args:
        keys: of all samples.
        count: how many they are.
        room: bytes for texts; where all of them would take more, none is kept.
    """

    def __init__(self, keys: pa.StringArray, count: int, room: int) -> None:
        self._keys = keys
        kept = count if count * TEXT <= room else 0
        self._kept = np.empty(kept, np.object_)
        self._there = np.zeros(kept, np.bool_)

    def of(self, rows: Ints) -> list[str]:
        """The keys of these rows."""
        found: list[str] = (self._kept_of(rows) if len(self._kept) else self._made(rows)).tolist()
        return found

    def _kept_of(self, rows: Ints) -> Array:
        new = rows[~self._there[rows]]
        if len(new):
            self._kept[new] = self._made(new)
            self._there[new] = True
        return self._kept[rows]

    def _made(self, rows: Ints) -> Array:
        found: Array = self._keys.take(pa.array(rows)).to_numpy(zero_copy_only=False)
        return found
