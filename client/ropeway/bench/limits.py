"""What no loader on this machine could pass; of these limits, the one that memory sets."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from threading import Event
from time import perf_counter
from typing import Literal

import numpy as np

from ropeway import buffers

_SOURCE, _PIECE = 64 << 20, 4 << 20
"""Bytes that rows are copied from, which do not fit into the processor's caches, and of what is copied in one call."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one step of streaming reaches when it is all that is done.

    Attributes:
        name: of the step.
        samples_per_second: of the view.
        bytes_per_second: of what is read, copied or decoded.
    """

    name: Literal["reading", "copying", "decoding"]
    samples_per_second: float
    bytes_per_second: float


def copying(sample: int, threads: int, seconds: float) -> Limit:
    """Gathering rows of a sample's size from all over memory, as batches are made.

    Args:
        sample: bytes of a sample in a batch.
        threads: of them.
        seconds: how long.
    """
    size = min(sample, _PIECE)
    source = np.ones(max(_SOURCE, size), np.uint8)
    rows, piece = len(source) // size, max(1, _PIECE // size)
    starts = buffers.address(source) + np.random.default_rng(0).permutation(rows) * size
    pieces = [starts[first : first + piece] for first in range(0, rows, piece)]

    def copier(first: int) -> Callable[[], int]:
        mine, into = cycle(pieces[first:] + pieces[:first]), np.empty(piece * size, np.uint8)

        def copy() -> int:
            addresses = next(mine)
            if size <= buffers.GATHERED:
                buffers.gather(addresses, size)
            else:
                buffers.move(addresses, size, into[: len(addresses) * size])
            return len(addresses) * size

        return copy

    rate = together([copier(number * len(pieces) // threads) for number in range(threads)], seconds)
    return Limit("copying", rate / sample, rate)


def together(tasks: Sequence[Callable[[], int]], seconds: float) -> float:
    """What tasks do per second: each is called again and again, by a thread of its own, until the time is up."""
    until, ended = perf_counter() + seconds, Event()

    def again(task: Callable[[], int]) -> float:
        begun, done = perf_counter(), task()
        while perf_counter() < until and not ended.is_set():
            done += task()
        return done / (perf_counter() - begun)

    with ThreadPoolExecutor(len(tasks), thread_name_prefix="ropeway-bench") as pool:
        try:
            return sum(pool.map(again, tasks))
        finally:  # by an interrupt, perhaps
            ended.set()
