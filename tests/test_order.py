"""The order's properties (exactly once, elastic, resumable, local, well shuffled) and its golden vectors."""

import hashlib
import itertools
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway import shuffle
from ropeway.errors import UsageError
from ropeway.hashing import fold, keyed, mix, unkeyed
from ropeway.order import OPEN_BYTES, EpochOrder, Sequential, Shuffled
from ropeway.samples import Ints, Samples, ShardRef
from ropeway.shuffle import Blocks, ShuffledEpoch, cut_blocks


def table(lengths: list[int] | Ints, per_shard: int = 1_000_000) -> Samples:
    """Samples of these lengths, packed one after the other into shards of so many."""
    sizes = np.asarray(lengths, np.int64)
    n = len(sizes)
    shard = np.arange(n) // per_shard
    ends = np.cumsum(sizes)
    first = np.concatenate([[0], ends])[(shard * per_shard)]
    refs = tuple(ShardRef("d", "v", f"{i}.tar", 1, "") for i in range(int(shard.max()) + 1 if n else 0))
    return Samples(
        refs, shard.astype(np.int32), ends - sizes - first, sizes, np.zeros(n, np.uint32), pa.array([""] * n), {}, {}
    )


def blocks(sizes: list[int]) -> Blocks:
    return Blocks(np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint32))


def sequence(order: EpochOrder, start: int, rank: int, size: int) -> tuple[Ints, Ints]:
    stretches = list(order.stretches(start, rank, size))
    empty = np.empty(0, np.int64)
    return (
        np.concatenate([empty, *(s.positions for s in stretches)]),
        np.concatenate([empty, *(s.rows for s in stretches)]),
    )


orders = st.builds(
    ShuffledEpoch,
    st.lists(st.integers(1, 9), min_size=1, max_size=60).map(blocks),
    lanes=st.integers(1, 24),
    window=st.integers(1, 5),
    seed=st.integers(0, 2**64),
    epoch=st.integers(0, 1000),
)


@given(orders)
def test_every_sample_stands_at_one_position(order: ShuffledEpoch) -> None:
    assert sorted(order.rows()) == list(range(order.samples))


@given(orders, st.integers(1, 12), st.floats(0, 1))
def test_any_world_size_reads_the_same_sequence_from_any_position(
    order: ShuffledEpoch, size: int, share: float
) -> None:
    whole = order.rows()
    start = int(share * order.samples)
    for rank in range(size):
        positions, rows = sequence(order, start, rank, size)
        assert positions.tolist() == [p for p in range(start, order.samples) if p % size == rank]
        assert rows.tolist() == whole[positions].tolist()


@given(orders)
def test_a_window_is_a_run_of_a_lane(order: ShuffledEpoch) -> None:
    """A lane finishes one window before it begins the next: that bounds what must be held in memory."""
    [*stretches] = order.stretches(0, 0, 1)
    positions = np.concatenate([s.positions for s in stretches])
    windows = np.concatenate([s.windows for s in stretches])
    for lane in set(positions % order._lanes):
        runs = [window for window, _ in itertools.groupby(windows[positions % order._lanes == lane])]
        assert len(runs) == len(set(runs))


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_where_the_world_divides_the_lanes_no_two_ranks_share_a_block(size: int) -> None:
    sizes = [7] * 400
    order = ShuffledEpoch(blocks(sizes), lanes=16, window=3, seed=1, epoch=0)
    reads = [len(set(sequence(order, 0, rank, size)[1] // 7)) for rank in range(size)]
    # a block may be cut where two lanes meet: at most one more per lane
    assert sum(reads) <= 400 + 16


def test_epochs_and_seeds_differ_and_do_not_add_up() -> None:
    def rows(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(ShuffledEpoch(blocks([2] * 50), 4, 2, seed, epoch).rows())

    seen = {rows(seed, epoch) for seed in range(5) for epoch in range(5)}
    assert len(seen) == 25  # seed 1 epoch 2 is not seed 2 epoch 1
    assert rows(3, 4) == rows(3, 4)


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=200), st.integers(0, 2**64 - 1))
def test_keyed_hashes_never_collide(numbers: list[int], key: int) -> None:
    hashes = keyed(np.array(numbers, np.uint64), np.uint64(key))
    assert len(set(hashes.tolist())) == len(numbers)


@given(st.lists(st.integers(0, 2**63 - 1), max_size=200), st.integers(0, 2**64 - 1))
def test_keyed_hashes_can_be_undone(numbers: list[int], key: int) -> None:
    assert unkeyed(keyed(np.array(numbers, np.int64), np.uint64(key)), np.uint64(key)).tolist() == numbers


@pytest.mark.parametrize("world_size", [1, 3])
def test_how_many_samples_are_sorted_at_once_changes_nothing(world_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.random.default_rng(0).integers(1, 40, 500).tolist()
    one = ShuffledEpoch(blocks(sizes), lanes=12, window=3, seed=5, epoch=1)
    whole = [sequence(one, 17, rank, world_size) for rank in range(world_size)]
    monkeypatch.setattr("ropeway.shuffle.SORTED", 1)
    piecewise = [sequence(one, 17, rank, world_size) for rank in range(world_size)]
    assert all((a == b).all() for some, others in zip(whole, piecewise, strict=True)
               for a, b in zip(some, others, strict=True))  # fmt: skip


def test_golden_hash() -> None:
    """Reference values of SplitMix64's finaliser; the construction rests on them for ever."""
    # the first outputs of SplitMix64 seeded with 0 are the finaliser of the golden gamma's multiples
    gamma = 0x9E3779B97F4A7C15
    multiples = np.array([gamma * i % 2**64 for i in (1, 2, 3)], np.uint64)
    assert [hex(word) for word in mix(multiples)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]
    assert hex(fold(0, 0, 1)) == GOLDEN_KEYS[0]
    assert hex(fold(7, 3, 2)) == GOLDEN_KEYS[1]


def test_the_example_drawn_in_the_module_is_true() -> None:
    rows = ShuffledEpoch(blocks([2, 3, 3, 2]), lanes=3, window=1, seed=1, epoch=0).rows()
    epoch = " ".join(map(str, rows))
    lanes = " ".join(str(row) for lane in range(3) for row in rows[lane::3])
    drawn = {
        line.split()[0]: " ".join(re.findall(r"\d", line)) for line in (shuffle.__doc__ or "").splitlines() if line
    }
    assert (drawn["windows"], drawn["epoch"]) == (lanes, epoch)


def test_golden_order() -> None:
    order = ShuffledEpoch(blocks([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]), lanes=4, window=2, seed=7, epoch=3)
    assert order.rows().tolist() == GOLDEN_ORDER
    big = ShuffledEpoch(blocks([1 + i % 13 for i in range(5000)]), lanes=192, window=2, seed=2**40 + 1, epoch=9)
    assert hashlib.sha256(big.rows().astype("<i8").tobytes()).hexdigest() == GOLDEN_DIGEST


GOLDEN_KEYS = ["0x421daf3033e887a3", "0xf618b8cc6b187625"]
GOLDEN_ORDER = [
    38,
    35,
    8,
    40,
    37,
    15,
    22,
    12,
    29,
    18,
    4,
    41,
    30,
    17,
    23,
    42,
    28,
    20,
    5,
    13,
    25,
    34,
    7,
    39,
    26,
    19,
    6,
    43,
    27,
    16,
    24,
    3,
    36,
    33,
    9,
    0,
    31,
    14,
    11,
    2,
    32,
    21,
    10,
    1,
]
GOLDEN_DIGEST = "4d8ca0fae455cf9ddb637f94926fdf9c21f98f13c1e38bfbcc9b009ee95d7862"


@given(st.lists(st.integers(512, 9000), min_size=1, max_size=80), st.integers(1, 20), st.integers(512, 20_000))
def test_blocks_stay_in_a_shard_and_within_their_size(lengths: list[int], per_shard: int, size: int) -> None:
    samples = table(lengths, per_shard)
    cut = cut_blocks(samples, size)
    assert cut.starts[0] == 0
    assert cut.samples == len(lengths)
    for low, high in itertools.pairwise(cut.starts.tolist()):
        assert low < high
        assert len(set(samples.shard[low:high])) == 1
        assert samples.offset[high - 1] - samples.offset[low] < size


def test_the_default_opens_a_bounded_number_of_bytes_and_shuffles_small_views_sample_by_sample() -> None:
    small = table(np.full(500, 4096))
    assert len(cut_blocks(small, Shuffled().block_size(small))) == 500
    large = table(np.full(1_000_000, 24_576), per_shard=10_000)
    order = Shuffled()
    assert order.block_size(large) * order.lanes * order.window <= OPEN_BYTES
    assert order.appetite(large, 1).held == (order.block_size(large) - 24_576) * order.lanes * order.window
    assert order.appetite(large, 64).held * 64 == order.appetite(large, 1).held
    assert order.appetite(small, 1).held <= 500 * 4096
    assert order.digest(small) != order.digest(large)
    assert order.digest(small) != Shuffled(window=3).digest(small)


@pytest.mark.parametrize("mean", [1, 28, 170])
def test_batches_of_label_sorted_data_are_as_mixed_as_a_uniform_shuffle(mean: int) -> None:
    n, batch = 100_000, 256
    labels = np.sort(np.random.default_rng(0).integers(0, 10, n))
    sizes = np.full(n // mean, mean)
    sizes[-1] += n - sizes.sum()

    def entropy(rows: Ints) -> float:
        whole = labels[rows[: n // batch * batch]].reshape(-1, batch)
        shares = np.stack([(whole == label).mean(axis=1) for label in range(10)])
        return float(-(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=0).mean())

    ours = entropy(ShuffledEpoch(blocks(sizes.tolist()), 192, 2, 0, 0).rows())
    assert ours / entropy(np.random.default_rng(1).permutation(n)) >= 0.985


def test_memory_is_per_block_not_per_sample() -> None:
    """4.51 million samples in blocks of 28: ready anywhere without an array over the samples."""
    import tracemalloc

    starts = Blocks(np.arange(0, 4_510_000 + 1, 28, dtype=np.uint32))
    tracemalloc.start()
    next(ShuffledEpoch(starts, 192, 2, 0, 0).stretches(4_000_000, 3, 8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_sequential_is_storage_order_in_every_epoch() -> None:
    samples = table([600] * 11)
    for epoch in (0, 1):
        order = Sequential().epoch(samples, 5, epoch)
        assert sequence(order, 0, 0, 1)[1].tolist() == list(range(11))
        assert sequence(order, 4, 1, 3)[1].tolist() == [4, 7, 10]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(UsageError, match="lanes must be at least 1"):
        Shuffled(lanes=0)
    with pytest.raises(UsageError, match="block_bytes"):
        Shuffled(block_bytes=-5)
