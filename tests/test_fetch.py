"""Which ranges are read, how often, and how much is held meanwhile."""

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway.buffers import address
from ropeway.bursts import Burst, grouped
from ropeway.checking import Checksums
from ropeway.checksum import crc32c
from ropeway.fetch import Fetched
from ropeway.held import Check
from ropeway.order import Shuffled
from ropeway.plan import LITTLE, MAX_REQUEST, coalesce
from ropeway.samples import UNREAD, Ints, Samples
from ropeway.steps import Batching, Step
from ropeway.tuning import Tuning
from ropeway.world import World
from test_order import table

lengths = st.lists(st.integers(1, 30).map(lambda blocks: 512 * blocks), min_size=1, max_size=120)


class Reader:
    """Shards whose bytes count up, and a log of what was read."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int, int]] = []

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        self.reads.append((shard, start, stop))
        return memoryview((np.arange(start, stop) % 251).astype(np.uint8).tobytes())

    def map(self, shard: int) -> memoryview | None:
        return None


def expected(samples: Samples, row: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    start = int(samples.offset[row])
    return (np.arange(start, start + int(samples.length[row])) % 251).astype(np.uint8)


def bursts(
    steps: Iterator[Step], samples: Samples, reader: Reader, *, memory: int, requests: int, limit: int = 1 << 16,
    check: Check | None = None,
) -> Iterator[Burst]:  # fmt: skip
    tuning = Tuning(MAX_REQUEST, requests)
    return Fetched(samples, reader, memory=memory, look=1 << 20, tuning=tuning, check=check).bursts(
        grouped(steps, samples.length, limit)
    )


@given(lengths, st.integers(1, 50), st.integers(0, 4096), st.integers(1, 40_000), st.data())
def test_coalesced_ranges_cover_each_row_once(
    sizes: list[int], per_shard: int, gap: int, most: int, data: st.DataObject
) -> None:
    samples = table(sizes, per_shard)
    rows = np.array(data.draw(st.lists(st.integers(0, len(sizes) - 1), unique=True, min_size=1)))
    reads = coalesce(samples, rows, max_gap=gap, max_request=most)
    assert sorted(row for read in reads for row in read.rows) == sorted(rows)
    for read in reads:
        assert set(samples.shard[read.rows]) == {read.shard}
        assert read.start == samples.offset[read.rows].min()
        assert read.stop == (samples.offset[read.rows] + samples.length[read.rows]).max()
        assert read.stop - read.start <= most or len(read.rows) == 1
        gaps = samples.offset[read.rows[1:]] - samples.offset[read.rows[:-1]] - samples.length[read.rows[:-1]]
        assert (gaps <= gap).all()
        foreign = gaps[np.diff(read.rows) > 1].sum()  # what lies between belongs to somebody else
        assert foreign * LITTLE <= samples.length[read.rows].sum()


@given(lengths, st.integers(1, 50), st.sampled_from([1, 2, 4]), st.sampled_from(["drop", "pad", "wrap"]))
def test_fetched_spans_are_the_right_bytes_and_each_is_read_once(
    sizes: list[int], per_shard: int, world: int, tail: str
) -> None:
    samples = table(sizes, per_shard)
    order = Shuffled(lanes=4, window=2, block_bytes=4096).epoch(samples, 0, 0)
    total: Counter[tuple[int, int]] = Counter()
    for rank in range(world):
        reader = Reader()
        batching = Batching(8, World(rank, world), tail)  # type: ignore[arg-type]
        steps = batching.steps(order, 0)
        for burst in bursts(steps, samples, reader, memory=1, requests=2):
            assert np.array_equal(burst.rows, np.concatenate([step.rows for step in burst.steps]))
            spans = burst.spans(np.arange(len(burst.rows)))
            for row, start, span in zip(burst.rows, burst.addresses, spans, strict=True):
                assert np.array_equal(span, expected(samples, row))
                assert start == address(span)
        for shard, start, stop in reader.reads:
            total.update((shard, at) for at in range(start, stop, 512))
    if tail == "pad" and len(sizes) % 8 == 0:
        assert set(total.values()) == {1}


@pytest.mark.parametrize("world", [1, 4])
def test_a_rank_reads_what_it_delivers_in_few_requests(world: int) -> None:
    samples = table(np.full(20_000, 24_576), per_shard=5000)  # 490 MB
    order = Shuffled(lanes=48, window=4)
    for rank in range(world):
        reader = Reader()
        delivered = 0
        steps = Batching(256, World(rank, world), "drop").steps(order.epoch(samples, 0, 0), 0)
        for burst in bursts(steps, samples, reader, memory=64 << 20, requests=4):
            delivered += int(burst.lengths.sum())
        read = sum(stop - start for _, start, stop in reader.reads)
        assert read <= 1.05 * delivered
        assert len(reader.reads) <= delivered / order.block_size(samples) * 2 + 48


def test_a_small_view_is_read_in_a_few_large_requests() -> None:
    samples = table(np.full(500, 4096))
    reader = Reader()
    steps = Batching(16, World(), "pad").steps(Shuffled().epoch(samples, 0, 0), 0)
    assert sum(len(burst.rows) for burst in bursts(steps, samples, reader, memory=1 << 30, requests=4)) == 512
    assert len(reader.reads) <= 3


class Damaging(Reader):
    """Turns a bit of some samples, every time they are read."""

    def __init__(self, samples: Samples, rows: Ints) -> None:
        super().__init__()
        self._places = {(int(samples.shard[row]), int(samples.offset[row])) for row in rows}

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        content = np.array(super().read(shard, start, stop))
        for number, offset in self._places:
            if number == shard and start <= offset < stop:
                content[offset - start] ^= 1
        return content.data


@given(lengths, st.integers(1, 50), st.sampled_from(["drop", "pad", "wrap"]), st.data())
def test_every_sample_is_checked_as_it_arrives(
    sizes: list[int], per_shard: int, tail: str, data: st.DataObject
) -> None:
    samples = table(sizes, per_shard)
    recorded = np.array(data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))))
    sums = [crc32c(expected(samples, row)) if recorded[row] else UNREAD for row in range(len(sizes))]
    samples = replace(samples, crc32c=np.array(sums, samples.crc32c.dtype))
    rows = np.array(data.draw(st.lists(st.integers(0, len(sizes) - 1), unique=True)), np.int64)
    reader = Damaging(samples, rows)
    check = Checksums(samples, reader, None).of_range
    steps = Batching(8, World(), tail).steps(Shuffled(lanes=4).epoch(samples, 0, 0), 0)  # type: ignore[arg-type]
    for burst in bursts(steps, samples, reader, memory=1, requests=2, check=check):
        found = np.isin(burst.rows, rows) & recorded[burst.rows]
        assert np.array_equal(burst.damaged, np.flatnonzero(found))


def test_steps_without_samples_are_given_without_a_read() -> None:
    """As a source of a mix has them, whose share of a small batch is none."""
    samples, reader, none = table([512]), Reader(), np.empty(0, np.int64)
    steps = [Step(stop, none, none.astype(np.bool_), none) for stop in (1, 2)]
    check = Checksums(samples, reader, None).of_range
    given = list(bursts(iter(steps), samples, reader, memory=1, requests=1, check=check))
    assert [step.stop for burst in given for step in burst.steps] == [1, 2]
    assert not any(len(burst.rows) or len(burst.damaged) for burst in given)
    assert not reader.reads


class Tracking(Reader):
    """Knows how many bytes of what it gave are still held by somebody."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self._counting = threading.Lock()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        content = np.zeros(stop - start, np.uint8)
        with self._counting:
            self.held += len(content)
            self.most = max(self.most, self.held)
        weakref.finalize(content, self._back, len(content))
        return content.data

    def _back(self, size: int) -> None:
        self.held -= size


@pytest.mark.parametrize("size", [4096, 200_000, 3 << 20])
def test_no_more_is_held_than_was_allowed(size: int) -> None:
    """Small views, which are shuffled sample by sample, and large ones alike."""
    samples = table(np.full((28 << 20) // size, size))
    reader = Tracking()
    steps = Batching(4, World(), "pad").steps(Shuffled(lanes=4, open_bytes=2 << 20).epoch(samples, 0, 0), 0)
    memory, limit = 6 << 20, 1 << 20
    assert sum(len(burst.rows) for burst in bursts(steps, samples, reader, memory=memory, requests=3, limit=limit))
    gc.collect()
    handed_out = 2 * (limit + 4 * size)  # the burst that was given, and the one before it
    assert reader.most <= memory + handed_out + (1 << 20)  # and what fetching threads have not yet let go of
    assert reader.held == 0


def test_the_first_samples_come_before_the_blocks_they_lie_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropeway.held.EARLY_BYTES", 1 << 20)
    samples = table(np.full(20_000, 4096), per_shard=5000)
    reader = Reader()
    steps = Batching(64, World(), "drop").steps(Shuffled(lanes=32).epoch(samples, 0, 0), 0)
    given = bursts(steps, samples, reader, memory=16 << 20, requests=1)
    first = next(given)
    for row, span in zip(first.rows, first.spans(np.arange(64)), strict=True):
        assert np.array_equal(span, expected(samples, row))
    assert max(stop - start for _, start, stop in reader.reads[:40]) < 5 * 4096  # neighbours come together
    rest = [row for burst in given for row in burst.rows.tolist()]
    assert sorted(first.rows.tolist() + rest) == list(range(20_000 // 64 * 64)) or len(set(rest)) == len(rest)
    assert sum(stop - start for _, start, stop in reader.reads) <= 1.05 * int(samples.length.sum())
