"""How fast this host reads a view's shards, against what a job needs."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import numpy as np

from ropeway.catalog import Catalog
from ropeway.doctor.finding import Finding, Need
from ropeway.plan import MAX_REQUEST
from ropeway.shard_bytes import ShardBytes
from ropeway.tuning import suggest
from ropeway.view import View
from ropeway.wanted import MEMORY

SECONDS = 2.0
"""How long is read, at most."""

_MARGIN = 1.2
"""Times the need that must be there: shared networks vary."""


def checks(catalog: Catalog, need: Need) -> Iterator[Finding]:
    """Read some of a view, as a loader reads ranges, and compare.

    Raises:
        RopewayError: there is no such view, or it can't be read.
    """
    view = _view(catalog, need)
    if view is None:
        yield Finding("speed", "unknown", "nothing to read")
        return
    latency, count, seconds, requests = measure(view)
    yield Finding("latency", "good", f"{latency * 1e3:.1f} ms until one byte of a shard is here")
    yield compared(view, need, count / seconds, requests)


def _view(catalog: Catalog, need: Need) -> View | None:
    if need.view is not None:
        return catalog.view(need.view)
    datasets = sorted(catalog.datasets(), key=lambda dataset: -dataset.bytes)
    return catalog.query(datasets=[datasets[0].id]) if datasets else None


def measure(view: View) -> tuple[float, int, float, int]:
    """Seconds of one small read; then bytes and seconds of many large ones, and how many were under way at once."""
    table, reader = view.table(), view.reader()
    first = int(table.shard[0])
    begun = monotonic()
    reader.read(first, 0, 1)
    latency = monotonic() - begun
    ranges = _ranges(view)
    requests = suggest(MAX_REQUEST, memory=MEMORY).requests
    begun = monotonic()
    count = read_ranges(reader, ranges, requests, begun + SECONDS)
    return latency, count, max(monotonic() - begun, 1e-9), requests


def _ranges(view: View) -> list[tuple[int, int, int]]:
    """All bytes of the view's shards, in ranges, in a mixed order: neighbours would be read ahead by file systems."""
    table = view.table()
    ranges = [
        (number, start, min(start + MAX_REQUEST, table.shards[number].bytes))
        for number in np.unique(table.shard).tolist()
        for start in range(0, table.shards[number].bytes, MAX_REQUEST)
    ]
    return [ranges[at] for at in np.random.default_rng(0).permutation(len(ranges))]


def read_ranges(reader: ShardBytes, ranges: Sequence[tuple[int, int, int]], requests: int, until: float) -> int:
    """Read ranges, so many at once, until a moment of `monotonic`; the bytes that came.

    Args:
        reader: access to the shards.
        ranges: shard, start and stop of each.
        requests: ranges that are read at once.
        until: when no more are begun.

    Raises:
        StoreError: a shard can't be read.
    """
    left, taking, counts = iter(ranges), threading.Lock(), [0] * requests
    ended = threading.Event()

    def work(place: int) -> None:
        while monotonic() < until and not ended.is_set():
            with taking:
                one = next(left, None)
            if one is None:
                return
            counts[place] += len(reader.read(*one))

    with ThreadPoolExecutor(requests, thread_name_prefix="ropeway-doctor") as pool:
        try:
            list(pool.map(work, range(requests)))
        finally:  # by an interrupt, perhaps
            ended.set()
    return sum(counts)


def compared(view: View, need: Need, rate: float, requests: int) -> Finding:
    """A verdict on so many bytes per second."""
    each = view.bytes / view.samples
    told = f"{rate / 1e6:,.0f} MB/s with {requests} requests at once: {rate / each:,.0f} samples/s of view {view.id}"
    if need.rate is None:
        return Finding("speed", "good", told)
    wanted = need.rate * each
    told = f"{told}; the job takes {need.rate:,.0f}, {wanted / 1e6:,.0f} MB/s"
    if rate >= _MARGIN * wanted:
        return Finding("speed", "good", told)
    advice = ("a disk cache (cache=ropeway.DiskCache) from the second epoch on, only the parts that are wanted, a host "
              "nearer to the store, or one with a faster network")  # fmt: skip
    return Finding("speed", "slow", told, advice)
