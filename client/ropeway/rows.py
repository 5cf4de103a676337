"""npy parts of one shape: not decoded, but moved, a whole burst in few calls."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from ropeway import buffers
from ropeway.buffers import Pool
from ropeway.decode import decode_npy
from ropeway.parts import Fixed
from ropeway.samples import Array, Ints

T = TypeVar("T")

WORTH = 4 << 20
"""Bytes from which on copying is shared between threads: less is done before another thread wakes up."""


@dataclass(frozen=True, slots=True)
class Movers:
    """Threads that copy: the caller's own, and those of an executor."""

    executor: Executor
    threads: int

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Do all jobs, the last one in this thread."""
        others = [self.executor.submit(job) for job in jobs[:-1]]
        last = jobs[-1]()
        return [*(other.result() for other in others), last]


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


class Rows:
    """Moves one part's arrays from where they lie into batches.

    The first header met that says what the manifest says is the model: contents that begin with the same bytes are
    moved; all others (written by another library, say, or damaged) are left to the decoder, which tells.
    """

    def __init__(self, fixed: Fixed) -> None:
        self._fixed = fixed
        self._header: Array | None = None

    def take(
        self, contents: Ints, lengths: Ints, cuts: list[int], pool: Pool, movers: Movers
    ) -> tuple[Array | Pieces, Ints]:
        """Arrays that are moved, and which are not.

        Args:
            contents: int64 (n,), where each part's content begins in memory; −1 where there is none to be moved.
            lengths: int64 (n,), bytes of each content.
            cuts: where batches begin: what is asked for later never spans one.
            pool: where large batches come from.
            movers: the threads that copy.

        Returns:
            An array (n, …) with zeros for what is absent, perhaps in pieces, and the places of those that have to be
            decoded.
        """
        if not len(contents):
            return np.empty((0, *self._fixed.shape), self._fixed.dtype), np.empty(0, np.int64)
        present = contents >= 0
        if self._header is None:
            self._learn(contents[present], lengths[present])
        like = present & (lengths == len(self._model) + self._fixed.size)
        if like.any():
            heads = buffers.gather(contents[like], len(self._model))
            like[like] = (heads == self._model).all(axis=1)
        if like.all():
            return self._moved(contents + len(self._model), cuts, pool, movers), np.empty(0, np.int64)
        together = np.zeros((len(contents), *self._fixed.shape), self._fixed.dtype)
        together[like] = self._moved(contents[like] + len(self._model), [0], pool, movers)
        return together, np.flatnonzero(present & ~like)

    @property
    def _model(self) -> Array:
        return np.empty(0, np.uint8) if self._header is None else self._header

    def _learn(self, contents: Ints, lengths: Ints) -> None:
        """Take the first fitting header for the model."""
        for content, length in zip(contents.tolist(), lengths.tolist(), strict=True):
            if not 0 < length - self._fixed.size <= buffers.GATHERED:
                continue
            whole = buffers.copied(content, length)
            try:
                array = decode_npy(whole.data)
            except ValueError:
                continue
            if (array.shape, array.dtype) == (self._fixed.shape, self._fixed.dtype) and array.flags.c_contiguous:
                self._header = whole[: length - self._fixed.size]
                return

    def _moved(self, sources: Ints, cuts: list[int], pool: Pool, movers: Movers) -> Array | Pieces:
        count, size = len(sources), self._fixed.size
        share = count if count * size < WORTH else -(-count // movers.threads)
        if size > buffers.GATHERED or pool.pinned:
            flat = pool.take(count * size)
            bounds = [*range(0, count, max(1, share)), count]
            movers.run(
                [
                    partial(buffers.move, sources[first:stop], size, flat[first * size : stop * size])
                    for first, stop in pairwise(bounds)
                ]
            )
            return self._shaped(flat)
        bounds = [*_evenly(cuts, share), count]
        jobs = [partial(buffers.gather, sources[first:stop], size) for first, stop in pairwise(bounds)]
        arrays = [self._shaped(flat) for flat in movers.run(jobs)]
        return arrays[0] if len(arrays) == 1 else Pieces(arrays, bounds[:-1])

    def _shaped(self, flat: Array) -> Array:
        return flat.view(self._fixed.dtype).reshape(-1, *self._fixed.shape)


def _evenly(cuts: list[int], share: int) -> list[int]:
    """Those of the cuts, which begin at 0, that leave about `share` rows between them."""
    chosen = cuts[:1]
    for cut in cuts[1:]:
        if cut - chosen[-1] >= share:
            chosen.append(cut)
    return chosen
