"""How fast a view's parts are decoded when nothing else is done."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from ropeway.arriving import Arriving
from ropeway.bench.limits import Limit, together
from ropeway.errors import FormatError
from ropeway.parts import PartReader
from ropeway.samples import Bytes, Ints, Samples, ShardRef
from ropeway.shard_bytes import ShardBytes
from ropeway.view import View

_DECODED, _DECODED_BYTES = 256, 64 << 20
"""Samples that are decoded again and again, and their bytes, at most; at least one for each thread."""

_AT_ONCE = 16
"""Of these, samples that are read at once."""


def decoding(view: View, parts: Sequence[PartReader], threads: int, seconds: float) -> Limit | None:
    """Decoding samples that are in memory already, each thread its own; None where no sample has what is decoded.

    Args:
        view: of which samples are taken at random.
        parts: that have to be decoded.
        threads: of them.
        seconds: how long; each thread decodes one sample at least.

    Raises:
        FormatError: a content does not decode; with shard and offset.
    """
    table = Arriving(view).table
    rows = _having(table, parts)
    if not len(rows):
        return None
    encoded = _encoded(view.reader(), table, _some(table, rows, threads), parts)
    size = sum(len(content.bytes) for sample in encoded for content in sample)
    stripes = [encoded[first::threads] for first in range(min(threads, len(encoded)))]
    rate = together([_decoder(stripe) for stripe in stripes], seconds)
    return Limit("decoding", rate * len(table) / len(rows), rate * size / len(encoded))


@dataclass(frozen=True, slots=True)
class _Content:
    """A part of a sample, as it is stored."""

    part: PartReader
    span: Bytes
    bytes: Bytes
    shard: ShardRef
    offset: int


def _having(table: Samples, parts: Sequence[PartReader]) -> Ints:
    """The rows of samples that have any of these parts."""
    there = np.zeros(len(table), np.bool_)
    for side in (table, *table.partners):
        for part in parts:
            if part.part.name in side.parts:
                there |= side.parts[part.part.name][0] >= 0
    return np.flatnonzero(there)


def _some(table: Samples, rows: Ints, threads: int) -> Ints:
    """A few of the rows at random, which fit into a little memory."""
    drawn = np.random.default_rng(0).choice(rows, min(len(rows), max(_DECODED, threads)), replace=False)
    sizes = np.sum([side.length[drawn] for side in (table, *table.partners)], axis=0)
    return drawn[: max(threads, int(np.searchsorted(np.cumsum(sizes), _DECODED_BYTES)))]


def _encoded(reader: ShardBytes, table: Samples, rows: Ints, parts: Sequence[PartReader]) -> list[list[_Content]]:
    """These samples' parts, read into memory."""

    def contents(row: int) -> list[_Content]:
        found = list[_Content]()
        for side in (table, *table.partners):
            mine = [part for part in parts if part.part.name in side.parts]
            found += _read(reader, side, row, mine)
        return found

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ropeway-bench") as pool:
        return list(pool.map(contents, rows.tolist()))


def _read(reader: ShardBytes, side: Samples, row: int, parts: Sequence[PartReader]) -> list[_Content]:
    """The parts that a sample has of these."""
    shard, start, length = int(side.shard[row]), int(side.offset[row]), int(side.length[row])
    offsets, sizes = ([int(side.parts[part.part.name][which][row]) for part in parts] for which in (0, 1))
    if shard < 0 or all(offset < 0 for offset in offsets):
        return []
    whole = np.frombuffer(reader.read(shard, start, start + length), np.uint8)
    return [
        _Content(part, whole, whole[offset - start : offset - start + size], side.shards[shard], start)
        for part, offset, size in zip(parts, offsets, sizes, strict=True)
        if offset >= 0
    ]


def _decoder(samples: list[list[_Content]]) -> Callable[[], int]:
    """Decodes the next of some samples whenever it is called."""
    turn = cycle(samples)
    targets = {
        part.part.name: np.empty(part.fixed.shape, part.fixed.dtype)
        for part in {content.part.part.name: content.part for sample in samples for content in sample}.values()
        if part.fixed is not None
    }

    def decode() -> int:
        for content in next(turn):
            target = targets.get(content.part.part.name)
            try:
                if target is None:
                    content.part.read(content.span, content.bytes)
                else:
                    content.part.read_into(content.span, content.bytes, target)
            except FormatError as error:
                error.dataset, error.shard, error.offset = content.shard.dataset, content.shard.path, content.offset
                raise
        return 1

    return decode
