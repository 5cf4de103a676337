"""Keys in byte order: a sample is found, and a folder of samples cut out, by bisection over the key column itself."""

from bisect import bisect_left

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.int32]


def byte_order(keys: pa.StringArray) -> Places:
    """The row numbers of a key column, int32 (n,), in byte order of the keys."""
    order: Places = pc.sort_indices(keys).to_numpy().astype(np.int32)
    return order


class SortedKeys:
    """The keys of some samples of a dataset, in byte order. A place is a number in that order.

    Holds the column's own buffers and one int32 per sample, and no object per sample.

    Args:
        keys: string (n,), of all samples.
        rows: int32 (m,), the rows of those meant, in byte order of their keys.
    """

    def __init__(self, keys: pa.StringArray, rows: Places) -> None:
        self.rows = rows
        _, starts, text = keys.buffers()
        self._starts = memoryview(starts).cast("B").cast("i")[keys.offset :] if len(keys) else memoryview(b"")
        self._text = memoryview(text or b"")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> str:
        return self.key(place).decode()

    def key(self, place: int) -> bytes:
        """The key at a place, UTF-8."""
        row = self.rows[place]
        return self._text[self._starts[row] : self._starts[row + 1]].tobytes()

    def row(self, key: bytes) -> int | None:
        """The row of a key, or None where it is not there."""
        place = self._first(key)
        return int(self.rows[place]) if place < len(self) and self.key(place) == key else None

    def within(self, folder: bytes) -> range:
        """The places of the keys in a folder, which is empty or ends with a slash."""
        if not folder:
            return range(len(self))
        return range(self._first(folder), self._first(folder[:-1] + b"0"))  # in ASCII, 0 comes next after the slash

    def _first(self, bound: bytes) -> int:
        """The first place whose key does not come before `bound`."""
        return bisect_left(range(len(self)), bound, key=self.key)
