"""Sidecars: what is known of a finished shard, kept beside it until the version is published.

`<dataset>/<version>/.packing/<shard>.parquet` holds the shard's index rows and, in its schema's metadata, its checksum
and what its parts have in common. A sidecar is written after its shard, so its presence means: this shard is done.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import msgspec
import pyarrow as pa

from ropeway import index
from ropeway.errors import FormatError
from ropeway.manifest import Part, Shard, SplitName, object_path
from ropeway.stores import Store
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.rules import PartRule

_NAME = b"ropeway.shard"

_AHEAD = 8
"""Sidecars fetched at once: an object store answers each in some 10 ms, and a large dataset has ten thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSummary:
    """One finished shard. `parts` are in the recipe's order; those that none of its samples has are left out."""

    name: str
    split: SplitName
    bytes: int
    samples: int
    sha256: str
    parts: tuple[Part, ...]
    skipped: Mapping[str, int]
    """Samples left out while packing it, by reason."""

    def as_shard(self, version: str) -> Shard:
        """The shard as a manifest names it."""
        return Shard(path=f"{version}/{self.name}", split=self.split, bytes=self.bytes, samples=self.samples,
                     sha256=self.sha256)  # fmt: skip


_DECODER = msgspec.json.Decoder(ShardSummary)  # once: see `manifest_reading`


def folder(dataset: str, version: str) -> str:
    """Where a version's sidecars lie."""
    return object_path(dataset, f"{version}/.packing")


def path(dataset: str, version: str, shard: str) -> str:
    """Where a shard's sidecar lies."""
    return f"{folder(dataset, version)}/{shard}.parquet"


def write(store: Store, path: str, summary: ShardSummary, rows: pa.Table) -> None:
    """Put a sidecar into the store."""
    words = {_NAME: msgspec.json.encode(summary)}
    store.put(path, index.encode([rows.replace_schema_metadata(words)]))


def read(store: Store, path: str) -> tuple[ShardSummary, pa.Table]:
    """A sidecar's summary and index rows.

    Raises:
        NotFound: there is none.
        FormatError: it is not a sidecar.
    """
    data, _ = store.load(path)
    rows = index.decode(data, url=f"{store.url}/{path}")
    try:
        summary = _DECODER.decode((rows.schema.metadata or {}).get(_NAME, b""))
    except msgspec.MsgspecError as error:
        raise FormatError(f"not a sidecar: {error}", url=f"{store.url}/{path}") from error
    return summary, rows.replace_schema_metadata(None)


def read_all(store: Store, paths: Sequence[str]) -> Iterator[tuple[ShardSummary, pa.Table]]:
    """Many sidecars in the order of their paths, a few of them fetched ahead.

    Raises:
        NotFound, FormatError: as `read` does, when the turn comes.
    """
    waiting: deque[Future[tuple[ShardSummary, pa.Table]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(read, store, path))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class Look(NamedTuple):
    """What a payload says of its part; most samples of a shard say the same."""

    format: str
    dtype: str | None
    shape: tuple[int, ...] | None
    axes: tuple[str, ...]
    units: str
    sampling_rate: float | None
    channels: tuple[str, ...]


def look_of(payload: Payload) -> Look:
    """What a payload says of its part."""
    return Look(payload.format, payload.dtype, payload.shape, payload.axes, payload.units, payload.sampling_rate,
                payload.channels)  # fmt: skip


def part_of(name: str, rule: PartRule, looks: Mapping[Look, int]) -> Part:
    """What samples say of a part; `looks`: how many of them say what."""
    parts = (
        Part(name=name, kind=rule.kind, mean=rule.mean, std=rule.std, windows=rule.windows, samples=samples,
             **look._asdict())
        for look, samples in looks.items()
    )  # fmt: skip
    return reduce(merged, parts)


def merged(one: Part, other: Part) -> Part:
    """What two descriptions of a part have in common; what differs becomes null or empty.

    Where formats differ, each sample's member name tells which it is.
    """
    return replace(
        one,
        format=one.format if one.format == other.format else "",
        dtype=one.dtype if one.dtype == other.dtype else None,
        shape=_common_shape(one.shape, other.shape),
        axes=one.axes if one.axes == other.axes else (),
        units=one.units if one.units == other.units else "",
        sampling_rate=one.sampling_rate if one.sampling_rate == other.sampling_rate else None,
        channels=one.channels if one.channels == other.channels else (),
        samples=one.samples + other.samples,
    )


def _common_shape(
    one: tuple[int | None, ...] | None, other: tuple[int | None, ...] | None
) -> tuple[int | None, ...] | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))
