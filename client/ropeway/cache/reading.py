"""One read through the cache: from disk what is there, from the source what isn't, which is then kept.

Only pages that somebody asked for are fetched, each by one process of the node: who finds one missing locks it, fetches
it and writes it down. Others who want it wait for that, but no longer than `PATIENCE`; then they fetch it themselves.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ropeway.cache.counters import Tally
from ropeway.cache.entry import HEADER, PAGES, Content, Entry, EntryDamaged, Mask, runs
from ropeway.cache.folder import Folder
from ropeway.cache.seals import PAGE, Seal
from ropeway.cache.usage import Usage
from ropeway.samples import Bytes

PATIENCE = 2.0
"""Seconds that a read waits for pages that others are fetching."""

_POLLS = (0.002, 0.02)
"""Seconds between two looks at what others are fetching: at first, and at most."""


Fetch: TypeAlias = Callable[[int, int], memoryview]
"""Bytes `start` to `stop` of one shard, from its source."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Where pages are kept, how, and whom to tell."""

    folder: Folder
    seal: Seal
    tally: Tally
    failed: Callable[[OSError], None]
    """Called when the disk fails; the read goes on from the source."""
    paused: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Claim:
    """Pages of an entry that this read fetches and keeps: bool (PAGES,)."""

    entry: Entry
    pages: Mask


class Reading:
    """A read of some whole pages of a shard.

    Args:
        keeper: the cache.
        content: the shard.
        first: its first page that is wanted.
        buffer: uint8, for whole pages; only the shard's last one may be shorter.
    """

    def __init__(self, keeper: Keeper, content: Content, first: int, buffer: Bytes) -> None:
        self._keeper, self._content, self._buffer = keeper, content, buffer
        self._number, self._skip = divmod(first, PAGES)  # of the first entry, and its pages before the first wanted
        pages = -(-len(buffer) // PAGE)
        self.missing = np.zeros((-(-(self._skip + pages) // PAGES), PAGES), np.bool_)
        """By entry and page: those that aren't in the buffer yet."""
        self.missing.reshape(-1)[self._skip : self._skip + pages] = True

    def load(self) -> None:
        """Fill in what is on disk."""
        for turn, wanted in enumerate(self.missing):
            if wanted.any():
                try:
                    self.missing[turn] = wanted & ~self._load(turn, wanted)
                except OSError as error:
                    self._keeper.failed(error)

    def fill(self, fetch: Fetch) -> None:
        """Fill in what is missing, and keep it.

        Args:
            fetch: the source; what it raises is raised.
        """
        give_up, pause = time.monotonic() + PATIENCE, _POLLS[0]
        while self.missing.any():
            claims, others = self._claims()
            try:
                if time.monotonic() > give_up:
                    others[:] = False
                self._fetch(self.missing & ~others, fetch)
                self._keep(claims)
            finally:
                for claim in claims:
                    claim.entry.close()
            self.missing &= others
            if self.missing.any():
                time.sleep(pause)
                pause = min(2 * pause, _POLLS[1])
                self.load()

    def _load(self, turn: int, wanted: Mask) -> Mask:
        """Read an entry's wanted pages from disk; returns those that were there, bool (PAGES,)."""
        none = np.zeros(PAGES, np.bool_)
        try:
            entry = self._open(turn)
        except FileNotFoundError:
            return none
        try:
            found = entry.load(wanted, *self._part(turn))
            self._keeper.tally.add(disk_bytes=int(found.sum()) * PAGE)
            return found
        except EntryDamaged:
            with self._keeper.folder.locked() as usage:
                self._drop(usage, entry)
            return none
        finally:
            entry.close()

    def _claims(self) -> tuple[list[_Claim], Mask]:
        """Claim the missing pages.

        Returns:
            What was claimed, and, as `missing`, those that others are fetching. What is neither can't be kept.
        """
        claims: list[_Claim] = []
        others = np.zeros_like(self.missing)
        if self._keeper.paused():
            return claims, others
        try:
            with self._keeper.folder.locked() as usage:
                for turn, wanted in enumerate(self.missing):
                    if wanted.any() and self._room(usage, wanted):
                        claim = self._claim(usage, turn, wanted)
                        claims.append(claim)
                        others[turn] = wanted & ~claim.pages
        except OSError as error:
            self._keeper.failed(error)
        return claims, others

    def _room(self, usage: Usage, wanted: Mask) -> bool:
        """Reserve the disk space of an entry's pages."""
        fits, evicted = usage.reserve(_size(wanted))
        if evicted:
            self._keeper.tally.add(evictions=evicted)
        return fits

    def _claim(self, usage: Usage, turn: int, wanted: Mask) -> _Claim:
        """Claim pages of an entry and take the disk space that is reserved for them."""
        entry = self._open(turn, create=True)
        before = entry.blocks
        claimed = np.zeros(PAGES, np.bool_)
        try:
            try:
                claimed = entry.claim(wanted)
                entry.allocate(claimed)
            except EntryDamaged:
                self._drop(usage, entry)  # and claim it anew the next time round
            finally:
                usage.change(entry.blocks - before - _size(wanted))
        except OSError:
            entry.close()
            raise
        return _Claim(entry, claimed)

    def _drop(self, usage: Usage, entry: Entry) -> None:
        usage.drop(self._path(entry.number), entry.inode)
        self._keeper.tally.add(corrupt=1)

    def _fetch(self, pages: Mask, fetch: Fetch) -> None:
        """Fetch pages into the buffer, neighbours together."""
        for first, last in runs(pages.reshape(-1)):
            start, stop = (first - self._skip) * PAGE, min((last - self._skip) * PAGE, len(self._buffer))
            origin = (self._number * PAGES + self._skip) * PAGE
            self._buffer[start:stop] = np.frombuffer(fetch(origin + start, origin + stop), np.uint8)
            self._keeper.tally.add(fetched_bytes=stop - start)

    def _keep(self, claims: list[_Claim]) -> None:
        try:
            for claim in claims:
                claim.entry.keep(claim.pages, *self._part(claim.entry.number - self._number))
        except OSError as error:
            self._keeper.failed(error)

    def _open(self, turn: int, *, create: bool = False) -> Entry:
        number = self._number + turn
        return Entry.open(self._path(number), self._content, number, self._keeper.seal, create=create)

    def _path(self, number: int) -> str:
        return self._keeper.folder.entry_path(self._content, number)

    def _part(self, turn: int) -> tuple[Bytes, int]:
        """The part of the buffer that begins in an entry, and the page of the entry with which it begins."""
        if turn == 0:
            return self._buffer, self._skip
        return self._buffer[(turn * PAGES - self._skip) * PAGE :], 0


def _size(wanted: Mask) -> int:
    """Bytes on disk that an entry's pages take at most."""
    return HEADER + int(wanted.sum()) * PAGE
