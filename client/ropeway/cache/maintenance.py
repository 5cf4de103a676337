"""Looking at a cache from outside, and emptying it: what `ropeway cache` does."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ropeway.cache.entry import HEADER, EntryDamaged, Header
from ropeway.cache.folder import Kind, check_owner, read_kind
from ropeway.cache.seals import PAGE
from ropeway.cache.usage import Usage, listed, lock, recorded_limit
from ropeway.errors import UsageError


@dataclass(frozen=True, slots=True)
class Info:
    """What a cache holds.

    Attributes:
        entries: files, of up to 4 MiB of a shard each.
        bytes: that they take up on disk.
        limit: of whoever used the cache last; None: nobody has.
        is_encrypted: with a key.
        oldest, newest: when the entries used least and most recently were, Unix time in seconds; None without entries.
        unfinished: bytes whose writer is at work, or was killed; they are counted, and filled or evicted in time.
        damaged: entries without a sound header; who comes across one deletes it.
        datasets: `dataset@version` that first brought the entries → bytes on disk.
    """

    entries: int
    bytes: int
    limit: int | None
    is_encrypted: bool
    oldest: float | None
    newest: float | None
    unfinished: int
    damaged: int
    datasets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was deleted: entries and their bytes on disk; and entries that are in use, so were not."""

    entries: int
    bytes: int
    in_use: int


def info(path: Path) -> Info:
    """What a cache holds.

    Raises:
        UsageError: the folder is no cache, or can't be read.
    """
    kind = read_kind(path)
    entries = list(listed(path))
    datasets: Counter[str] = Counter()
    unfinished = damaged = 0
    for entry in entries:
        try:
            header = _header(entry.path)
        except EntryDamaged:
            damaged += 1
            continue
        if header is not None:
            datasets[header.content.dataset] += entry.bytes
            held = HEADER + int(np.count_nonzero(header.marks.any(axis=1))) * PAGE
            unfinished += max(0, entry.bytes - held)
    used = [entry.used / 1e9 for entry in entries]
    return Info(
        entries=len(entries),
        bytes=sum(entry.bytes for entry in entries),
        limit=recorded_limit(path),
        is_encrypted=kind.seal == "aes-gcm",
        oldest=min(used, default=None),
        newest=max(used, default=None),
        unfinished=unfinished,
        damaged=damaged,
        datasets=dict(datasets.most_common()),
    )


def clear(path: Path, *, before: float | None = None) -> Cleared:
    """Delete a cache's entries, and nothing else.

    Args:
        path: the folder.
        before: only entries that were not used since (Unix time in seconds). None: all, and the cache forgets its key.

    Raises:
        UsageError: the folder is no cache, is somebody else's, or can't be written.
    """
    read_kind(path)
    check_owner(path)
    deleted: list[int] = []
    in_use = 0
    try:
        with lock(path) as descriptor:
            usage = Usage(path, recorded_limit(path) or 0, descriptor)
            for entry in list(listed(path)):
                if before is not None and entry.used >= before * 1e9:
                    continue
                if usage.remove(entry):
                    deleted.append(entry.bytes)
                else:
                    in_use += 1
            if before is None and not in_use:
                Kind().write(path)
    except OSError as error:
        raise UsageError(f"can't be cleared: {error.strerror or error}", url=path.absolute().as_uri()) from error
    return Cleared(len(deleted), sum(deleted), in_use)


def _header(path: Path) -> Header | None:
    """An entry's header; None when it isn't written yet, or the entry was deleted meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return Header.read(descriptor)
    finally:
        os.close(descriptor)
