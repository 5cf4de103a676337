"""The samples of a shard as they are stored, one after the other, for whoever reads a store through."""

import hashlib
import mmap
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO, TypeAlias, cast

from ropeway import tar
from ropeway.manifest import Manifest, Shard, is_url, object_path
from ropeway.samples import ShardRef
from ropeway.shard_bytes import StoreBytes
from ropeway.stores import Store

PIECE = 8 << 20
"""Bytes read at a time."""

Advance: TypeAlias = Callable[[int], None]
"""Told the bytes of each piece read, for a progress bar."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One member: its part, its format and its content, which lies in a temporary file mapped into memory."""

    name: str
    format: str
    content: memoryview


@dataclass(frozen=True, slots=True)
class StoredSample:
    """The members of one key."""

    key: str
    parts: tuple[StoredPart, ...]


def reader_of(store: Store, manifest: Manifest, shard: Shard) -> tuple[StoreBytes, ShardRef]:
    """Access to the bytes of one shard, wherever it lies, as number 0."""
    path = object_path(manifest.dataset, shard.path)
    ref = ShardRef(manifest.dataset, manifest.version, path, shard.bytes, shard.sha256)
    return StoreBytes(store, [ref]), ref


def stored_samples(store: Store, manifest: Manifest, shard: Shard, advance: Advance) -> Iterator[StoredSample]:
    """The samples of a shard in order. Contents hold until the next sample is asked for.

    Raises:
        StoreError: the shard can't be read.
        FormatError: it is not a whole tar, or its members are not named as ours are, or as its adoption says.
    """
    reader, _ = reader_of(store, manifest, shard)
    with tempfile.TemporaryFile(prefix="ropeway-shard-") as temporary:
        file = cast("BinaryIO", temporary)
        copy(reader, shard.bytes, file, advance)
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if shard.bytes else memoryview(b"")
        name = _namer(manifest, shard)
        members = ((names, member) for member in tar.members(file) if (names := name(member.name)) is not None)
        for key, group in groupby(members, key=lambda member: member[0][0]):
            parts = [(part, form, at) for (_, part, form), at in group]
            yield StoredSample(key, tuple(StoredPart(part, form, content[at.offset : at.offset + at.length])
                                          for part, form, at in parts))  # fmt: skip


def _namer(manifest: Manifest, shard: Shard) -> Callable[[str], tuple[str, str, str] | None]:
    if not is_url(shard.path):
        return tar.split_name
    from ropeway.adopt.named import namer  # adopting reads shards by this module

    return namer(manifest, shard)


def copy(reader: StoreBytes, size: int, file: BinaryIO, advance: Advance, number: int = 0) -> str:
    """Copy a shard of a reader into a file; the sha256 of what was read."""
    digest = hashlib.sha256()
    for start in range(0, size, PIECE):
        piece = reader.read(number, start, min(size, start + PIECE))
        digest.update(piece)
        file.write(piece)
        advance(len(piece))
    file.flush()
    return digest.hexdigest()
