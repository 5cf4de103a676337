"""npy parts of one shape: not decoded, but moved, a whole burst in few calls."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ropeway import buffers
from ropeway.buffers import Pool
from ropeway.decoders.arrays import npy_layout
from ropeway.parts import Fixed
from ropeway.samples import Array, Ints

T = TypeVar("T")

WORTH = 2 << 20
"""Bytes from which on copying is shared between threads: less is done before another thread wakes up."""

PIECE = 4 << 20
"""Bytes of a new array for gathered rows, about. glibc gives freed memory of that size out again; larger ones often
fill a heap of their own, which goes back to the system as soon as they are freed and has to be cleared anew."""


TRIES = 64
"""Contents that are looked at for a header to go by."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Threads that share work: those of an executor, and the caller's own."""

    executor: Executor
    threads: int

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Do all jobs, the last one in this thread."""
        others = [self.executor.submit(job) for job in jobs[:-1]]
        last = jobs[-1]()
        return [*(other.result() for other in others), last]

    def begin(self, jobs: Sequence[Callable[[], T]]) -> list["Future[T]"]:
        """Begin all jobs; a single one is done at once, before another thread would wake up."""
        if len(jobs) > 1:
            return [self.executor.submit(job) for job in jobs]
        done = Future[T]()
        done.set_result(jobs[0]())
        return [done]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Rows of one array that lies in several pieces; `starts` says at which row each begins."""

    arrays: list[Array]
    starts: list[int]

    def __getitem__(self, rows: slice) -> Array:
        """Rows that lie in one piece, without copying; they are a batch, which never spans two."""
        number = bisect_right(self.starts, rows.start) - 1
        return self.arrays[number][rows.start - self.starts[number] : rows.stop - self.starts[number]]

    def __setitem__(self, row: int, value: Any) -> None:
        number = bisect_right(self.starts, row) - 1
        self.arrays[number][row - self.starts[number]] = value


@dataclass(frozen=True, slots=True)
class Moving:
    """Rows of one array on their way.

    Attributes:
        pieces: of the rows, one after the other.
        starts: at which row each piece begins.
        whole: the array that they are pieces of, if there is one.
    """

    pieces: list["Future[Array]"]
    starts: list[int]
    whole: Array | None = None

    def arrived(self) -> Array | Pieces:
        """All rows, when they are there."""
        arrays = [piece.result() for piece in self.pieces]
        if self.whole is not None:
            return self.whole
        return arrays[0] if len(arrays) == 1 else Pieces(arrays, self.starts)


class Rows:
    """Moves one part's arrays from where they lie into batches.

    The first header met that says what the manifest says is the model: contents that begin with the same bytes are
    moved; all others (written by another library, say, or damaged) are left to the decoder, which tells.

    Args:
        fixed: what the arrays are.
        spans: offset and length, int64 (rows of the view,), of each content in its shard; offset −1 where there is
            none.
        starts: int64 (rows of the view,), where what is brought of each sample begins in its shard.
        stays: whether contents stay as they were found, so that each header is looked at once.
    """

    def __init__(self, fixed: Fixed, spans: tuple[Ints, Ints], starts: Ints, stays: bool) -> None:
        self._fixed, self._starts = fixed, starts
        self._offset, self._length = spans
        self._once = np.zeros(len(starts), np.bool_) if stays else None
        self._shift = _alike(self._offset, starts)
        self._header: Array | None = None
        self._tries = 0

    def take(
        self, rows: Ints, addresses: Ints, bad: list[int], cuts: list[int], pool: Pool, movers: Crew
    ) -> tuple[Array | Moving, Ints]:
        """Arrays that are moved, and which are not.

        Args:
            rows: int64 (n,), of the view.
            addresses: int64 (n,), where what was brought of each sample begins in memory.
            bad: places of samples that are not to be moved.
            cuts: where batches begin: what is asked for later never spans one.
            pool: where large batches come from.
            movers: the threads that copy. Memory at the addresses has to stay until the arrays arrived.

        Returns:
            Arrays on their way, or one (n, …) with zeros for what is absent, and the places of those that have to be
            decoded.
        """
        if not len(rows):
            return np.empty((0, *self._fixed.shape), self._fixed.dtype), np.empty(0, np.int64)
        contents = self._contents(rows, addresses)
        contents[bad] = -1
        present = contents >= 0
        if self._header is None:
            self._learn(contents[present], self._length[rows[present]])
        header = self._header
        if header is None:
            return np.zeros((len(rows), *self._fixed.shape), self._fixed.dtype), np.flatnonzero(present)
        like = present & self._like(header, rows, contents)
        if like.all():
            return self._moved(contents + len(header), cuts, pool, movers), np.empty(0, np.int64)
        together = np.zeros((len(rows), *self._fixed.shape), self._fixed.dtype)
        if like.any():
            together[like] = self._moved(contents[like] + len(header), [0], pool, movers).arrived()
        return together, np.flatnonzero(present & ~like)

    def _contents(self, rows: Ints, addresses: Ints) -> Ints:
        """Where each row's content begins in memory, −1 where there is none."""
        if self._shift is not None:
            return addresses + self._shift
        offsets = self._offset[rows]
        contents: Ints = addresses + (offsets - self._starts[rows])
        contents[offsets < 0] = -1
        return contents

    def _like(self, header: Array, rows: Ints, contents: Ints) -> npt.NDArray[np.bool_]:
        """Which of these contents, of those that are there, have the model's header."""
        like = np.zeros(len(rows), np.bool_) if self._once is None else self._once[rows]
        if like.all():
            return like
        new = np.flatnonzero(~like & (contents >= 0))
        new = new[self._length[rows[new]] == len(header) + self._fixed.size]
        new = new[(buffers.gather(contents[new], len(header)) == header).all(axis=1)]
        like[new] = True
        if self._once is not None:
            self._once[rows[new]] = True
        return like

    def _learn(self, contents: Ints, lengths: Ints) -> None:
        """Take the first fitting header for the model; after many that do not fit, no more are looked at."""
        for content, length in zip(contents.tolist(), lengths.tolist(), strict=True):
            if self._tries == TRIES:
                return
            self._tries += 1
            whole = buffers.copied(content, length)
            try:
                layout = npy_layout(BytesIO(whole.data))
            except ValueError:
                continue
            found = layout.shape, layout.dtype, layout.offset + layout.size, layout.fortran
            if found == (self._fixed.shape, self._fixed.dtype, length, False) and layout.offset <= buffers.GATHERED:
                self._header = whole[: layout.offset]
                return

    def _moved(self, sources: Ints, cuts: list[int], pool: Pool, movers: Crew) -> Moving:
        count, size = len(sources), self._fixed.size
        share = count if count * size < WORTH else -(-count // movers.threads)
        if size > buffers.GATHERED or pool.pinned:
            bounds = [*range(0, count, max(1, share)), count]
            whole = self._shaped(pool.take(count * size), count)
        else:
            bounds, whole = [*_evenly(cuts, min(share, max(1, PIECE // size))), count], None

        def move(first: int, stop: int) -> Array:
            if whole is None:
                return self._shaped(buffers.gather(sources[first:stop], size), stop - first)
            piece = whole[first:stop]
            buffers.move(sources[first:stop], size, piece.reshape(-1).view(np.uint8))
            return piece

        return Moving(movers.begin([partial(move, *both) for both in pairwise(bounds)]), bounds[:-1], whole)

    def _shaped(self, flat: Array, count: int) -> Array:
        return flat.reshape(-1).view(self._fixed.dtype).reshape(count, *self._fixed.shape)


def _alike(offset: Ints, starts: Ints) -> int | None:
    """How far behind the start of what is brought of a sample its content begins, where that is the same for all."""
    if not len(offset) or (offset < 0).any():
        return None
    shift = offset - starts
    return int(shift[0]) if (shift == shift[0]).all() else None


def _evenly(cuts: list[int], share: int) -> list[int]:
    """Those of the cuts, which begin at 0, that leave about `share` rows between them."""
    chosen = cuts[:1]
    for cut in cuts[1:]:
        if cut - chosen[-1] >= share:
            chosen.append(cut)
    return chosen
