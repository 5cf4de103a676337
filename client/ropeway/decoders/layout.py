"""Arrays that lie in a file as they are: viewed whole, or a slab along one axis read in few exact pieces."""

import math
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from ropeway.samples import Array

GAP = 64 << 10
"""Bytes between two wanted pieces that are read over: another request would take longer."""


def read_exactly(file: BinaryIO, start: int, size: int) -> bytes:
    """`size` bytes from `start` on.

    Raises:
        ValueError: the file ends before.
    """
    file.seek(start)
    content = file.read(size)
    if len(content) != size:
        raise ValueError(f"cut short: {size} bytes wanted at {start}, {len(content)} there")
    return content


@dataclass(frozen=True, slots=True)
class Layout:
    """Where and how an array's elements lie in a file.

    Attributes:
        offset: of the first element, in bytes.
        dtype, shape: of the array.
        fortran: whether the first axis changes fastest, instead of the last.
    """

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool = False

    def __post_init__(self) -> None:
        if self.dtype.hasobject or not self.dtype.itemsize or self.offset < 0 or min(self.shape, default=0) < 0:
            raise ValueError(f"no array can be {self.dtype} of shape {self.shape} at byte {self.offset}")

    @property
    def size(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    def whole(self, content: memoryview) -> Array:
        """The array as a view of the file's content, which may go on after it.

        Raises:
            ValueError: the content ends before.
        """
        if len(content) - self.offset < self.size:
            raise ValueError(f"cut short: {len(content)} bytes, {self.offset + self.size} are needed")
        flat = np.frombuffer(content[self.offset : self.offset + self.size], self.dtype)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")

    def slab(self, file: BinaryIO, axis: int, start: int, stop: int) -> Array:
        """`whole()[…, start:stop, …]` along an axis, reading no more than these bytes and gaps up to `GAP`.

        Raises:
            ValueError: the array has no such axis, is not that long, or the file is cut short.
        """
        if not -len(self.shape) <= axis < len(self.shape):
            raise ValueError(f"no axis {axis} in shape {self.shape}")
        axis %= len(self.shape)
        if not 0 <= start < stop <= self.shape[axis]:
            raise ValueError(f"{start}:{stop} of axis {axis} is outside shape {self.shape}")
        if self.fortran:
            mirrored = Layout(self.offset, self.dtype, self.shape[::-1])
            return mirrored._slab(file, len(self.shape) - 1 - axis, start, stop).T
        return self._slab(file, axis, start, stop)

    def _slab(self, file: BinaryIO, axis: int, start: int, stop: int) -> Array:
        pieces = math.prod(self.shape[:axis])
        inner = math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize
        length, stride = (stop - start) * inner, self.shape[axis] * inner
        first = self.offset + start * inner
        taken = np.empty((pieces, length), np.uint8)
        if taken.size and stride - length <= GAP:
            read = np.frombuffer(read_exactly(file, first, (pieces - 1) * stride + length), np.uint8)
            taken[:] = np.lib.stride_tricks.as_strided(read, (pieces, length), (stride, 1), writeable=False)
        elif taken.size:
            for piece in range(pieces):
                taken[piece] = np.frombuffer(read_exactly(file, first + piece * stride, length), np.uint8)
        return taken.view(self.dtype).reshape(*self.shape[:axis], stop - start, *self.shape[axis + 1 :])


def integers(stored: Array) -> Array:
    """Little-endian integers of 2 or 3 bytes, uint8 (…, bytes), as int32 (…)."""
    wide = np.zeros((*stored.shape[:-1], 4), np.uint8)
    wide[..., 4 - stored.shape[-1] :] = stored
    shifted: Array = wide.view("<i4")[..., 0] >> (8 * (4 - stored.shape[-1]))
    return shifted
