"""From samples in order to shards of about one size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ropeway.manifest import SPLITS, SplitName
from ropeway_shardgen.planned import PlannedShard, outline


@dataclass(slots=True)
class _Growing:
    """The shards of one split while samples are added."""

    split: SplitName
    shard_size: int
    size: int = 0
    run: list[bytes] = field(default_factory=list)
    done: list[PlannedShard] = field(default_factory=list)

    def add(self, stowed: bytes, size: int) -> None:
        """Begin a new shard where this one would grow past its size. A larger sample has its own."""
        if self.run and self.size + size > self.shard_size:
            self.end()
        self.run.append(stowed)
        self.size += size

    def end(self) -> None:
        if self.run:
            name = f"{self.split}-{len(self.done):06d}.tar"
            self.done.append(PlannedShard(name, self.split, self.size, tuple(self.run)))
        self.size, self.run = 0, []


def shards_of(samples: Iterable[bytes], shard_size: int) -> Iterator[PlannedShard]:
    """Stowed samples in order, each split for itself, in shards of so many bytes; a larger sample has its own."""
    growing = {split: _Growing(split, shard_size) for split in SPLITS}
    for stowed in samples:
        sample = outline(stowed)
        growing[sample.split].add(stowed, sample.size)
    for one in growing.values():
        one.end()
        yield from one.done
