"""The files of a cache: each holds the pages of one fixed stretch of a shard, as far as somebody has read them.

An entry is a header of 4096 bytes and then its pages, each at its own place; pages that were never written are holes.
A page's bytes are written first and its mark in the header after, so a writer that is killed leaves a page that isn't
there. Pages only ever appear, so that readers need no lock.

Two kinds of locks say who is doing what, and both end with their process. A shared flock: somebody reads or writes this
entry, don't delete it. A byte-range lock on the page's number: somebody is fetching this page, don't fetch it too.
"""

import fcntl
import os
import re
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ropeway.cache.seals import MARK, PAGE, Place, Seal
from ropeway.cache.usage import on_disk
from ropeway.checksum import crc32c
from ropeway.samples import Bytes, ShardRef

PAGES = 128
"""Pages of an entry."""

ENTRY = PAGES * PAGE
"""Bytes of a shard that belong to one entry: 4 MiB."""

HEADER = 4096
"""Bytes before the first page: `_FIXED`, and the pages' marks at its end."""

WHOLE = HEADER + ENTRY
"""Bytes of a full entry."""

Mask = npt.NDArray[np.bool_]

_FIXED = struct.Struct("<8s32sIQ255p")
"""Magic, content id, number of the entry in its shard, bytes of the shard, dataset; followed by the crc32c of these."""
_MAGIC = b"rwcache1"
_MARKS = HEADER - PAGES * MARK
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOCK = struct.Struct("hhlli0l")
"""`struct flock` of 64-bit Linux."""


class EntryDamaged(Exception):
    """An entry isn't what it should be: to be deleted and fetched again. Never leaves the cache."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a shard holds, by which entries are found: the same shard in two views or versions is kept once.

    Attributes:
        id: 32 bytes, the shard's sha256; where it was adopted without one, a digest of where it is and how long.
        bytes: of the shard.
        dataset: where it was first met, for `ropeway cache info`.
    """

    id: bytes
    bytes: int
    dataset: str

    @classmethod
    def of(cls, shard: ShardRef) -> "Content":
        """The content of a view's shard."""
        if _SHA256.fullmatch(shard.sha256) and shard.sha256.strip("0"):
            digest = bytes.fromhex(shard.sha256)
        else:
            path = shard.path.partition("?")[0]  # a signature in a URL changes from day to day
            digest = sha256("\0".join((shard.dataset, shard.version, path, str(shard.bytes))).encode()).digest()
        return cls(digest, shard.bytes, f"{shard.dataset}@{shard.version}")


@dataclass(frozen=True, slots=True)
class Header:
    """What an entry says about itself."""

    content: Content
    number: int
    marks: Bytes
    """uint8 (PAGES, MARK)."""

    @classmethod
    def read(cls, descriptor: int) -> "Header | None":
        """The header of a file; None when it is still empty.

        Raises:
            EntryDamaged: it is no header.
        """
        block = os.pread(descriptor, HEADER, 0)
        if not block:
            return None
        if len(block) < HEADER or block[_FIXED.size : _FIXED.size + 4] != _crc(block[: _FIXED.size]):
            raise EntryDamaged
        magic, digest, number, size, dataset = _FIXED.unpack_from(block)
        if magic != _MAGIC:
            raise EntryDamaged
        marks = np.frombuffer(block, np.uint8, offset=_MARKS).reshape(PAGES, MARK)
        return cls(Content(digest, size, dataset.decode(errors="replace")), number, marks)

    def write(self, descriptor: int) -> None:
        """Write the header of a new file."""
        content = self.content
        fixed = _FIXED.pack(_MAGIC, content.id, self.number, content.bytes, content.dataset.encode())
        os.pwrite(descriptor, (fixed + _crc(fixed)).ljust(_MARKS, b"\0") + self.marks.tobytes(), 0)


class Entry:
    """An entry that is open, and that nobody deletes meanwhile. Pages are counted from the entry's first."""

    def __init__(self, descriptor: int, content: Content, number: int, seal: Seal) -> None:
        self.content, self.number = content, number
        self._descriptor, self._seal = descriptor, seal

    @classmethod
    def open(cls, path: str, content: Content, number: int, seal: Seal, *, create: bool = False) -> "Entry":
        """Open an entry; with `create`, an empty one where there is none.

        Raises:
            FileNotFoundError: there is none.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        if create:
            Path(path).parent.mkdir(mode=0o700, exist_ok=True)
            flags |= os.O_CREAT
        descriptor = os.open(path, flags, 0o600)
        with suppress(BlockingIOError):  # it is about to be deleted; what is open can still be read
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return cls(descriptor, content, number, seal)

    @property
    def present(self) -> Mask:
        """Which pages there are, bool (PAGES,).

        Raises:
            EntryDamaged: the file isn't this entry.
        """
        return _present(self._header().marks)

    @property
    def blocks(self) -> int:
        """Bytes that the file takes up on disk."""
        return on_disk(os.fstat(self._descriptor))

    @property
    def inode(self) -> int:
        """Tells this file from another one of the same name."""
        return os.fstat(self._descriptor).st_ino

    def load(self, wanted: Mask, into: Bytes, origin: int) -> Mask:
        """Fill in the pages that are wanted and there.

        Args:
            wanted: bool (PAGES,).
            into: uint8, memory that begins with page `origin`.
            origin: see there.

        Returns:
            bool (PAGES,), the pages filled in.

        Raises:
            EntryDamaged: a page isn't what was written, or the file isn't this entry.
        """
        marks = self._header().marks
        found: Mask = _present(marks) & wanted
        for first, last in runs(found):
            target, place = self._cut(into, first, last, origin), self._place(first)
            if not self._seal.read(self._descriptor, _at(first), target, place, marks[first:last]):
                raise EntryDamaged
        if found.any():
            self._touch()
        return found

    def claim(self, wanted: Mask) -> Mask:
        """Lock the pages that are wanted, not there, and that nobody else is fetching; only under the folder's lock.

        Returns:
            bool (PAGES,), those pages.

        Raises:
            EntryDamaged: the file isn't this entry.
        """
        if Header.read(self._descriptor) is None:
            Header(self.content, self.number, np.zeros((PAGES, MARK), np.uint8)).write(self._descriptor)
        locked = np.zeros(PAGES, np.bool_)
        for page in np.flatnonzero(wanted).tolist():
            locked[page] = self._lock(fcntl.F_WRLCK, page, 1)
        claimed: Mask = locked & ~self.present  # looked up only now: who held the lock may have written the page
        return claimed

    def allocate(self, pages: Mask) -> None:
        """Take the disk space for pages, so that it is counted before it is filled."""
        for first, last in runs(pages):
            os.posix_fallocate(self._descriptor, _at(first), min(last * PAGE, self._size) - first * PAGE)

    def keep(self, pages: Mask, content: Bytes, origin: int) -> None:
        """Write claimed pages out of memory that begins with page `origin`."""
        for first, last in runs(pages):
            source = self._cut(content, first, last, origin)
            marks = self._seal.write(self._descriptor, _at(first), source, self._place(first))
            os.pwrite(self._descriptor, marks.tobytes(), _MARKS + first * MARK)
        self._touch()

    def close(self) -> None:
        """Let go of all locks. Explicitly: a forked child shares them and would hold them on."""
        self._lock(fcntl.F_UNLCK, 0, 0)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    @property
    def _size(self) -> int:
        """Bytes of the shard that belong to this entry."""
        return min(ENTRY, self.content.bytes - self.number * ENTRY)

    def _touch(self) -> None:
        now = time.time_ns()  # the kernel's own time of a change moves in steps of milliseconds
        os.utime(self._descriptor, ns=(now, now))

    def _cut(self, memory: Bytes, first: int, last: int, origin: int) -> Bytes:
        return memory[(first - origin) * PAGE : min(last * PAGE, self._size) - origin * PAGE]

    def _place(self, page: int) -> Place:
        return Place(self.content.id, self.number * PAGES + page)

    def _header(self) -> Header:
        header = Header.read(self._descriptor)
        if header is None:
            return Header(self.content, self.number, np.zeros((PAGES, MARK), np.uint8))
        if (header.content.id, header.content.bytes, header.number) != (
            self.content.id, self.content.bytes, self.number,
        ):  # fmt: skip
            raise EntryDamaged
        return header

    def _lock(self, kind: int, first: int, count: int) -> bool:
        try:  # per open file, not per process as fcntl's older locks: threads keep apart, too
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, first, count, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Where a mask is True, as first and last (exclusive)."""
    edges = (np.flatnonzero(mask[1:] != mask[:-1]) + 1).tolist()
    if mask[0]:
        edges.insert(0, 0)
    if mask[-1]:
        edges.append(len(mask))
    return list(zip(edges[::2], edges[1::2], strict=True))


def _present(marks: Bytes) -> Mask:
    return np.asarray(marks.any(axis=1))


def _at(page: int) -> int:
    return HEADER + page * PAGE


def _crc(block: bytes) -> bytes:
    return int(crc32c(block)).to_bytes(4, "little")
