"""How a mount reads shards: here and there, or ahead in blocks; the bounds of its memory and of its waiting."""

import hashlib
import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounted import wait
from ropeway.errors import StoreError
from ropeway.mount.blocks import GRID
from ropeway.mount.flows import Flows
from ropeway.mount.stretches import AHEAD, LONGEST, WHOLE, Stretch, Stretches, reach
from ropeway.mount.threads import Threads
from ropeway.ranges import Pieces
from ropeway.samples import Bytes


class Recording:
    """A shard in memory that tells what is read of it, and can be made to fail or to hang."""

    def __init__(self, size: int) -> None:
        self.content = np.random.default_rng(0).bytes(size)
        self.reads: list[tuple[int, int]] = []
        self.problem: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        self.reads.append((start, stop))
        self.go_on.wait(20)
        if self.problem:
            raise self.problem
        assert stop <= len(self.content)
        return memoryview(self.content)[start:stop]

    def map(self, shard: int) -> memoryview | None:
        return None

    def file(self, reads: Stretches, start: int = 0, size: int | None = None) -> Stretch:
        return Stretch(
            reads, self, 0, "d/v/0.tar", len(self.content), start, len(self.content) if size is None else size
        )


class Trickling(Recording):
    """A shard whose first block comes at once and the others when they may, or an error in their place."""

    def receive(self, shard: int, start: int, stop: int, pieces: Pieces) -> None:
        self.reads.append((start, stop))
        for at in range(start, stop, pieces.size):
            if at > start:
                assert self.go_on.wait(20)
            if self.problem:
                raise self.problem
            pieces.arrived(at, memoryview(self.content)[at : min(at + pieces.size, stop)])


def test_a_block_is_given_while_the_rest_of_its_run_is_still_to_come() -> None:
    shard, reads = Trickling(6 * GRID), Stretches(1 << 30, 10)
    file = shard.file(reads)
    shard.go_on.clear()
    for at in range(0, 2 * GRID, 1 << 20):  # of the second block on, all are one run
        assert file.read(at, 1 << 20) == shard.content[at : at + (1 << 20)]
    assert shard.reads == [(0, GRID), (GRID, 6 * GRID)]
    shard.go_on.set()
    assert file.read(2 * GRID, GRID) == shard.content[2 * GRID : 3 * GRID]
    reads.close()


def test_a_run_that_breaks_off_fails_reads_of_what_had_not_come_and_the_next_one_asks_anew() -> None:
    shard, reads = Trickling(4 * GRID), Stretches(1 << 30, 10)
    file = shard.file(reads)
    shard.go_on.clear()
    for at in (0, GRID):
        assert file.read(at, 1000) == shard.content[at : at + 1000]
    shard.problem = StoreError("gone")
    shard.go_on.set()
    with pytest.raises(StoreError, match="gone"):
        file.read(2 * GRID, 1000)
    shard.problem = None
    assert file.read(2 * GRID, 1000) == shard.content[2 * GRID : 2 * GRID + 1000]
    assert shard.reads[:2] == [(0, GRID), (GRID, 4 * GRID)]
    assert all(start >= 2 * GRID for start, _ in shard.reads[2:])  # what had come is not asked for again
    reads.close()


def test_a_block_that_was_given_is_let_go_while_its_run_is_still_to_come() -> None:
    shard, reads = Trickling(4 * GRID), Stretches(1 << 30, 10)
    file = shard.file(reads)
    shard.go_on.clear()
    file.read(0, 1000)
    held = weakref.ref(np.frombuffer(file.read(GRID, GRID), np.uint8))
    wait(lambda: held() is None)
    assert not [place for place in reads._blocks._held if place[1] == GRID]
    shard.go_on.set()
    reads.close()


def test_a_shard_read_through_is_fetched_ahead_in_few_requests_and_each_byte_once() -> None:
    longest = 16 << 20
    shard, reads = Recording(3 * longest + 12345), Stretches(3 * longest, 10)
    file = shard.file(reads)
    digest = hashlib.sha256()
    for at in range(0, file.size, 256 << 10):
        digest.update(file.read(at, 256 << 10))
    assert digest.digest() == hashlib.sha256(shard.content).digest()
    assert sum(stop - start for start, stop in shard.reads) == len(shard.content)
    assert shard.reads[0] == (0, GRID)  # what is waited for comes first, and soon
    assert sorted(shard.reads)[-2:] == [(2 * longest, 3 * longest), (3 * longest, len(shard.content))]
    assert reads._blocks.bytes == 0  # the kernel has it all
    reads.close()


def test_reads_that_come_side_by_side_fetch_each_byte_once() -> None:
    shard, reads = Recording(16 * GRID), Stretches(1 << 30, 10)
    file, size = shard.file(reads), 1 << 20
    order = [at + other for at in range(0, file.size, 4 * size) for other in (2 * size, 0, 3 * size, size)]
    assert all(file.read(at, size) == shard.content[at : at + size] for at in order)
    assert sum(stop - start for start, stop in shard.reads) == len(shard.content)
    reads.close()


def test_who_reads_one_large_file_fetches_little_more() -> None:
    shard, reads = Recording(16 * GRID), Stretches(1 << 30, 10)
    file = shard.file(reads, 5 * GRID + 512, 3 << 20)
    got = b"".join(bytes(file.read(at, 128 << 10)) for at in range(0, file.size, 128 << 10))
    assert got == shard.content[file.start : file.start + file.size]
    assert sum(stop - start for start, stop in shard.reads) <= (256 << 10) + 3 * GRID
    reads.close()


@pytest.mark.parametrize(
    ("share", "rate", "wanted", "expected"),
    [
        (1 << 30, 1e9, 1 << 40, (LONGEST, LONGEST)),  # one request brings enough
        (1 << 30, 1e9, 5 << 20, (LONGEST, 5 << 20)),  # no further than it is worth
        (1 << 30, 150e6, 1 << 40, (LONGEST, 3 * LONGEST)),
        (1 << 30, 10e6, 1 << 40, (8 << 20, AHEAD * (8 << 20))),  # a slow store: nobody waits for long
        (1 << 30, 1e3, 1 << 40, (GRID, AHEAD * GRID)),
        (64 << 20, 1e9, 1 << 40, (16 << 20, 16 << 20)),  # less memory
        (64 << 20, 100e6, 1 << 40, (8 << 20, 32 << 20)),
        (4 << 20, 1e9, 1 << 40, (GRID, 0)),
    ],
)
def test_a_flow_is_read_ahead_as_far_as_memory_and_store_allow(
    share: int, rate: float, wanted: int, expected: tuple[int, int]
) -> None:
    assert reach(share, rate, wanted) == expected


def test_reads_here_and_there_fetch_what_is_asked_for_and_small_files_once() -> None:
    shard, reads = Recording(16 * GRID), Stretches(128 << 20, 10)
    file = shard.file(reads)
    for at in (9 * GRID, 3 * GRID, 12 * GRID):
        assert file.read(at, 1000) == shard.content[at : at + 1000]
    assert shard.reads == [(at, at + 1000) for at in (9 * GRID, 3 * GRID, 12 * GRID)]
    shard.reads.clear()
    small = shard.file(reads, 7 * GRID + 512, 300_000)
    assert b"".join(bytes(small.read(at, 1 << 17)) for at in range(0, 400_000, 1 << 17)) == \
        shard.content[small.start : small.start + small.size]  # fmt: skip
    assert shard.reads == [(small.start, small.start + small.size)]
    reads.close()


def test_small_files_read_in_their_order_in_the_shard_are_read_ahead_too() -> None:
    shard, reads = Recording(3 * GRID), Stretches(128 << 20, 10)
    size = 24 << 10
    for start in range(512, len(shard.content) - size, size + 1024):
        assert shard.file(reads, start, size).read(0, size) == shard.content[start : start + size]
    assert len(shard.reads) <= 2 + 3
    reads.close()


@given(st.lists(st.tuples(st.integers(0, 5 * GRID), st.integers(1, 3 << 20)), max_size=12))
def test_whatever_is_read_is_what_is_there(asked: list[tuple[int, int]]) -> None:
    shard, reads = _SHARD, Stretches(2 * GRID, 10)
    file = shard.file(reads, 100, 5 * GRID)
    for offset, size in asked:
        stop = min(100 + offset + size, 100 + file.size)
        assert file.read(offset, size) == shard.content[100 + offset : stop]
        held = sorted((low, high) for _, low, high in reads._blocks._held)
        assert sum(high - low for low, high in held) == reads._blocks.bytes <= max(2 * GRID, GRID + WHOLE)
        assert all(before[1] <= after[0] for before, after in pairwise(held))
    reads.close()


_SHARD = Recording(5 * GRID + 4321)


def test_a_read_that_takes_too_long_fails_and_the_next_one_asks_anew() -> None:
    shard, reads = Recording(GRID), Stretches(64 << 20, 0.2)
    file = shard.file(reads, 0, 1000)
    shard.go_on.clear()
    with pytest.raises(StoreError, match=r"no answer within 0\.2 s"):
        file.read(0, 10)
    shard.go_on.set()
    assert file.read(0, 10) == shard.content[:10]
    shard.problem = StoreError("gone")
    other = shard.file(reads, 5000, 1000)
    with pytest.raises(StoreError, match="gone"):
        other.read(0, 10)
    shard.problem = None
    assert other.read(0, 10) == shard.content[5000:5010]
    reads.close()


def test_an_outage_fails_reads_through_a_shard_until_it_has_passed() -> None:
    shard, reads = Recording(4 * GRID), Stretches(1 << 30, 10)
    file = shard.file(reads)
    shard.problem = StoreError("gone")
    for at in (0, 1000, GRID):
        with pytest.raises(StoreError, match="gone"):
            file.read(at, 1000)
    shard.problem = None
    assert b"".join(bytes(file.read(at, GRID // 2)) for at in range(0, file.size, GRID // 2)) == shard.content
    reads.close()


def test_closing_fails_what_is_waited_for_at_once() -> None:
    shard, reads = Recording(GRID), Stretches(64 << 20, 60)
    shard.go_on.clear()
    threading.Timer(0.1, reads.close).start()
    with pytest.raises(StoreError, match="unmounted"):
        shard.file(reads, 0, 1000).read(0, 10)
    with pytest.raises(StoreError, match="unmounted"):
        shard.file(reads, 5000, 1000).read(0, 10)
    shard.go_on.set()


def test_threads_that_wait_hold_nothing_of_what_they_fetched() -> None:
    threads: Threads[Bytes] = Threads(1, 10)
    future = threads.begin(lambda: np.zeros(8, np.uint8))
    held = weakref.ref(threads.result(future))
    del future
    wait(lambda: held() is None)
    threads.close()


def test_flows_are_told_apart() -> None:
    flows = Flows()
    come = [flows.seen("s", at, at + 10, 5) for at in (0, 10, 25, 32)]
    assert come == [(0, 0), (1, 20), (2, 35), (3, 42)]
    assert flows.seen("s", 1 << 30, (1 << 30) + 10, 5) == (0, 0)  # another place
    assert flows.seen("s", 40, 50, 5) == (4, 50)  # and back
    assert flows.seen("s", 40, 50, 5) == (4, 50)  # again the same bytes: not further
    assert flows.seen("t", 42, 52, 5) == (0, 0)
    assert flows.active() == 1


def test_blocks_ahead_stay_within_the_memory_that_is_given() -> None:
    shard, reads = Recording(12 * GRID), Stretches(3 * GRID, 10)
    file = shard.file(reads)
    for at in range(0, file.size, 1 << 20):
        assert file.read(at, 1 << 20) == shard.content[at : at + (1 << 20)]
        assert reads._blocks.bytes <= 3 * GRID
    assert AHEAD * GRID > 3 * GRID  # without the bound it would be more
    reads.close()
