"""What an order would do to a job, worked out without reading a shard: mixing, bytes per rank, memory, start-up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ropeway.bursts import grouped
from ropeway.errors import UsageError
from ropeway.fetch import Fetched
from ropeway.order import SMALL_BYTES, EpochOrder, Shuffled
from ropeway.plan import MAX_REQUEST
from ropeway.samples import Array, Ints, Samples
from ropeway.shuffle import Blocks, ShuffledEpoch, cut_blocks
from ropeway.steps import Batching
from ropeway.tuning import Tuning
from ropeway.world import World

BATCHES = 2000
"""Global batches whose mixing is looked at, at most."""

RANKS = 8
"""Ranks whose reads are worked out, at most: spread evenly over the world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """How mixed the batches are: Shannon entropy of the labels in a global batch, in nats.

    Attributes:
        ours: of each batch of the order, float64 (batches,).
        uniform: of as many batches of a true uniform shuffle.
    """

    ours: npt.NDArray[np.float64]
    uniform: npt.NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """Mean of ours over mean of uniform; 1 is as good as a uniform shuffle."""
        return float(self.ours.mean() / self.uniform.mean()) if self.uniform.mean() else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankReads:
    """What a rank would read from a store whose shards are not local, in one epoch."""

    rank: int
    delivered: int
    read: int
    requests: int
    shards: int

    @property
    def amplification(self) -> float:
        """Bytes read for each byte delivered."""
        return self.read / self.delivered if self.delivered else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What it takes to begin in the middle of an epoch."""

    blocks: int
    seconds: float
    """From nothing to the first stretch at half of the epoch."""
    bytes: int
    """Of the order's tables."""


class SortedLabels:
    """Labels of rows that are sorted by label, worked out where they are asked for."""

    def __init__(self, samples: int, classes: int) -> None:
        self._samples, self._classes = samples, classes

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, rows: Ints) -> Ints:
        return rows * self._classes // self._samples


def mixing(order: EpochOrder, labels: Array | SortedLabels, classes: int, batch: int, seed: int) -> Mixing:
    """The entropy of the labels in an order's first batches.

    Args:
        order: of one epoch.
        labels: class of each row, (n,); negative where unlabelled.
        classes: how many there are.
        batch: samples in a global batch.
        seed: of the uniform shuffle that it is compared with.

    Raises:
        UsageError: there are fewer samples than one batch takes.
    """
    if order.samples < batch:
        raise UsageError(
            f"there are {order.samples:,} samples, fewer than one global batch of {batch}: simulate a smaller one"
        )
    count = min(BATCHES, order.samples // batch)
    rows = _first(order, count * batch)
    uniform = np.random.default_rng(seed % (1 << 64)).choice(len(labels), count * batch, replace=False, shuffle=True)
    return Mixing(ours=_entropy(labels[rows], classes, batch), uniform=_entropy(labels[uniform], classes, batch))


def reads(table: Samples, order: Shuffled, batch: int, world_size: int, *, seed: int, memory: int) -> list[RankReads]:
    """What some of the ranks would read: the loader's own planning, over shards that are never touched."""
    epoch = order.epoch(table, seed, 0)
    ranks = sorted({int(rank) for rank in np.linspace(0, world_size - 1, min(RANKS, world_size))})
    found = []
    for rank in ranks:
        reader = _Untouched()
        steps = Batching(batch, World(rank, world_size), "drop").steps(epoch, 0)
        supply = Fetched(table, reader, memory=memory, look=1 << 20, tuning=Tuning(MAX_REQUEST, 1))
        bursts = supply.bursts(grouped(steps, table.length))
        delivered = sum(int(burst.lengths.sum()) for burst in bursts)
        found.append(
            RankReads(
                rank=rank, delivered=delivered, read=reader.bytes, requests=reader.requests, shards=len(reader.shards)
            )
        )
    return found


def readiness(blocks: Blocks, order: Shuffled, world_size: int, *, seed: int) -> tuple[ShuffledEpoch, Readiness]:
    """Make the order of an epoch and go to its middle."""
    began = perf_counter()
    epoch = ShuffledEpoch(blocks, order.lanes, order.window, seed, 0)
    next(epoch.stretches(epoch.samples // 2, 0, world_size))
    seconds = perf_counter() - began
    return epoch, Readiness(blocks=len(blocks), seconds=seconds, bytes=epoch.nbytes)


def blocks_of(table: Samples, order: Shuffled) -> Blocks:
    """The blocks of a view in an order."""
    return cut_blocks(table, order.block_size(table))


def even_blocks(samples: int, sample_bytes: int, order: Shuffled) -> Blocks:
    """The blocks of samples of one size, without a table of the samples."""
    per_block = max(1, order.size_for(samples * sample_bytes) // sample_bytes)
    count = -(-samples // per_block)
    starts = np.arange(count + 1, dtype=np.int64) * per_block
    starts[-1] = samples
    return Blocks(starts.astype(np.uint32) if samples < 1 << 32 else starts)


def why(order: Shuffled, size: int) -> str:
    """Why the blocks of a view of that many bytes are as large as they are."""
    if order.block_bytes is not None:
        return "The block size was given."
    if size <= SMALL_BYTES:
        return "The view is small: it is read whole in a few requests, and shuffled sample by sample."
    if size <= order.open_bytes:
        return "The view is so small that all its blocks are open at once: every batch draws from all of it."
    open_size = order.open_bytes >> 20
    return f"Blocks are as large as lets all open ones of the world hold {open_size} MiB: large reads, bounded memory."


def advice(order: Shuffled, world_size: int, mixed: Mixing | None, ranks: Sequence[RankReads]) -> list[str]:
    """What these figures mean, and what to change, in sentences."""
    told = []
    if order.lanes % world_size:
        whole = -(-order.lanes // world_size) * world_size
        told.append(
            f"{world_size} ranks do not divide {order.lanes} lanes, so ranks share blocks: lanes={whole} keeps their "
            "reads apart (it makes another order)."
        )
    else:
        told.append(f"{world_size} ranks divide {order.lanes} lanes: no two ranks read the same block.")
    if mixed is not None and mixed.ratio < 0.985:
        told.append("Batches are less mixed than they could be: take smaller block_bytes or a larger window.")
    worst = max((rank.amplification for rank in ranks), default=1.0)
    if worst > 1.05:
        told.append(f"A rank reads up to {worst:.2f} bytes for each it delivers: the view is sparse in its shards.")
    return told


def summary(mixed: Mixing | None, ranks: Sequence[RankReads], ready: Readiness) -> Mapping[str, float]:
    """The figures as one flat object."""
    figures: dict[str, float] = {
        "blocks": ready.blocks, "ready_seconds": ready.seconds, "order_bytes": ready.bytes,
    }  # fmt: skip
    if mixed is not None:
        figures |= {
            "entropy": float(mixed.ours.mean()), "entropy_p5": float(np.percentile(mixed.ours, 5)),
            "entropy_uniform": float(mixed.uniform.mean()), "entropy_ratio": mixed.ratio,
        }  # fmt: skip
    if ranks:
        figures |= {
            "delivered_per_rank": float(np.mean([rank.delivered for rank in ranks])),
            "read_per_rank": float(np.mean([rank.read for rank in ranks])),
            "amplification": max(rank.amplification for rank in ranks),
            "requests_per_rank": float(np.mean([rank.requests for rank in ranks])),
            "shards_per_rank": float(np.mean([rank.shards for rank in ranks])),
        }
    return figures


def _first(order: EpochOrder, count: int) -> Ints:
    def rows() -> Iterator[Ints]:
        left = count
        for stretch in order.stretches(0, 0, 1):
            yield stretch.rows[:left]
            left -= len(stretch.rows)
            if left <= 0:
                return

    return np.concatenate([np.empty(0, np.int64), *rows()])


def _entropy(labels: Array, classes: int, batch: int) -> npt.NDArray[np.float64]:
    whole = labels.reshape(-1, batch)
    shares = np.stack([(whole == number).mean(axis=1) for number in range(classes)])
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=0), np.float64)


class _Untouched:
    """Shards whose bytes are never looked at: counts what is asked for, and gives memory that is never filled."""

    def __init__(self) -> None:
        self.bytes = self.requests = 0
        self.shards: set[int] = set()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        self.bytes += stop - start
        self.requests += 1
        self.shards.add(shard)
        return np.empty(stop - start, np.uint8).data

    def map(self, shard: int) -> memoryview | None:
        return None
