"""How much a cache takes up on disk, and which entries go when space is short.

Whoever adds or deletes an entry holds the lock on the file `usage`. The kernel lets go of it when its holder dies, and
nobody waits for a stopped one longer than `LOCK_SECONDS`.
"""

import fcntl
import os
import re
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LOCK_SECONDS = 1.0

SMALL = 4 * 4096
"""Bytes on disk of everything that is no entry, folders of shards aside."""

_USAGE = struct.Struct("<QQ")
"""Bytes on disk, the limit."""
_CONTENT_ID = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{6,}")


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry as it lies in the folder: when it was last used (Unix time in ns), and its bytes on disk."""

    used: int
    bytes: int
    path: Path


class Usage:
    """What a cache takes up; only under its lock.

    Killed at any moment, its holder leaves a total that is right or too high. Too high ones end with the next look at
    the disk itself, when victims run out.

    Args:
        folder: of the cache.
        limit: bytes on disk that it may take.
        descriptor: the locked file.
        victims: entries that were used least recently, in order; kept for the next time, since to find them is to look
            at all.
    """

    def __init__(self, folder: Path, limit: int, descriptor: int, victims: deque[Listed] | None = None) -> None:
        self._folder, self._limit, self._descriptor = folder, limit, descriptor
        self._victims = deque() if victims is None else victims
        written = _parsed(os.pread(descriptor, _USAGE.size, 0))
        self.total = written[0] if written else sum(entry.bytes for entry in listed(folder)) + SMALL

    def change(self, size: int) -> None:
        """Count so many bytes more, or fewer, and write that down."""
        self.total += size
        os.pwrite(self._descriptor, _USAGE.pack(max(0, self.total), self._limit), 0)

    def reserve(self, size: int) -> tuple[bool, int]:
        """Count so many bytes more, after making room for them where need be.

        Returns:
            Whether there is room, and how many entries were evicted.
        """
        evicted = self._evict(size)
        if self.total + size > self._limit:
            self._look()
            evicted += self._evict(size)
        fits = self.total + size <= self._limit
        if fits:
            self.change(size)
        return fits, evicted

    def remove(self, entry: Listed) -> bool:
        """Delete an entry, and its folder with the last one; False when it is in use or gone."""
        with _unused(entry.path) as idle:
            if idle:
                entry.path.unlink()
                self.change(-entry.bytes)
                with suppress(OSError):  # others are left
                    entry.path.parent.rmdir()
        return idle

    def drop(self, path: str, inode: int | None = None) -> None:
        """Delete an entry that is damaged; where an inode is given, only as long as the file is that one."""
        with suppress(FileNotFoundError):
            status = Path(path).stat()
            if inode in {None, status.st_ino}:
                Path(path).unlink()
                self.change(-on_disk(status))

    def _evict(self, size: int) -> int:
        """Delete victims until there is room, or no victim is left."""
        evicted = 0
        while self._victims and self.total + size > self._limit:
            victim = self._victims.popleft()
            with suppress(FileNotFoundError):
                if victim.path.stat().st_mtime_ns == victim.used:  # else it was used since
                    evicted += self.remove(victim)
        return evicted

    def _look(self) -> None:
        """Put the total right, and find victims: whoever wasn't used since is older than all that are none."""
        entries = sorted(listed(self._folder), key=lambda entry: entry.used)
        self.change(sum(entry.bytes for entry in entries) + SMALL - self.total)
        self._victims.clear()
        self._victims.extend(entries[: max(64, len(entries) // 16)])


@contextmanager
def lock(folder: Path) -> Iterator[int]:
    """Hold the lock of a cache; gives the descriptor of `usage`.

    Raises:
        TimeoutError: somebody else didn't let go of it.
        OSError: the folder is gone or can't be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / "usage", flags, 0o600)
    try:
        give_up = time.monotonic() + LOCK_SECONDS
        while not _flocked(descriptor):
            if time.monotonic() > give_up:
                raise TimeoutError(f"another process holds its lock for more than {LOCK_SECONDS:g} s")
            time.sleep(0.0002)
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # explicitly: a forked child shares it
        os.close(descriptor)


def recorded_limit(folder: Path) -> int | None:
    """The limit of whoever changed the cache last."""
    try:
        written = _parsed((folder / "usage").read_bytes())
    except FileNotFoundError:
        return None
    return written[1] if written else None


def listed(folder: Path) -> Iterator[Listed]:
    """The entries of a cache, in no order."""
    for shard in os.scandir(folder / "shards"):
        if _CONTENT_ID.fullmatch(shard.name):
            with suppress(FileNotFoundError):  # deleted meanwhile
                yield from _of_shard(shard.path)


def _of_shard(folder: str) -> Iterator[Listed]:
    for entry in os.scandir(folder):
        if _NUMBER.fullmatch(entry.name):
            with suppress(FileNotFoundError):  # deleted meanwhile
                status = entry.stat(follow_symlinks=False)
                yield Listed(status.st_mtime_ns, on_disk(status), Path(entry.path))


def on_disk(status: os.stat_result) -> int:
    """Bytes that a file takes up on disk."""
    return status.st_blocks * 512


@contextmanager
def _unused(path: Path) -> Iterator[bool]:
    """Whether an entry is there and nobody reads or writes it; nobody begins to in the meantime."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _flocked(descriptor)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parsed(written: bytes) -> tuple[int, int] | None:
    return _USAGE.unpack(written) if len(written) == _USAGE.size else None
