"""Pages of views on a node's own disk: an index service is asked for each of them once, by whichever process is first.

They lie in a `DiskCache` beside what is kept of shards: within one limit, verified, its owner's alone, encrypted if it
has a key. A page never changes, so it is not asked for again; whether somebody may read it is, each time: a view's
shard table, without which its pages are not used, always comes from the service, which checks rights and audits then.

A cache keeps contents of a known size, and how long a page is, only the page tells: so it is kept with a head, and
counts as if it went on with zeros.
"""

import struct
from collections.abc import Callable
from functools import cache as once
from hashlib import sha256

from ropeway.cache import DiskCache
from ropeway.cache.entry import Content
from ropeway.cache.seals import PAGE
from ropeway.checksum import crc32c

_HEAD = struct.Struct("<QI")
"""Bytes of the page, and their crc32c."""
_ENDLESS = 1 << 40


def kept(cache: DiskCache, url: str, view: str, fetch: Callable[[], bytes]) -> bytes | memoryview:
    """A page of a view, from disk, or from the service and then kept.

    Args:
        cache: where.
        url: what is there never changes. Services don't share pages: one need not be trusted with another's.
        view: its id, under which `ropeway cache info` lists the page.
        fetch: asks the service; what it raises is raised.
    """
    content = Content(sha256(f"page {url}".encode()).digest(), _ENDLESS, f"view {view}")

    @once
    def framed() -> bytes:
        page = fetch()
        return _HEAD.pack(len(page), crc32c(page)) + page

    def piece(start: int, stop: int) -> memoryview:
        return memoryview(framed()[start:stop].ljust(stop - start, b"\0"))

    def first(start: int, stop: int) -> memoryview:
        if len(framed()) > PAGE:  # kept before the head is: who finds a head finds the rest
            cache.read(content, PAGE, len(framed()), piece)
        return piece(start, stop)

    size, checksum = _HEAD.unpack(cache.read(content, 0, _HEAD.size, first))
    page = cache.read(content, 0, _HEAD.size + size, piece)[_HEAD.size :]
    if crc32c(page) == checksum:
        return page
    cache.forget(content, 0, _HEAD.size + size)  # put together of two answers that differed
    return framed()[_HEAD.size :]
