"""How a page of the cache is written so that nobody is ever given a damaged one: checksummed, or encrypted.

A seal writes a page's bytes, and gives a mark of `MARK` bytes that is kept apart from them. A page counts as stored
once its mark is there, and is given to somebody only after it agreed with its mark.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ropeway.checksum import crc32c
from ropeway.errors import UsageError
from ropeway.samples import Bytes

MARK = 28
"""Bytes of a mark; all zero: there is no such page."""

PAGE = 32 << 10
"""Bytes that are sealed together: what a request costs in time anyway (`plan.MAX_GAP`), so what is fetched at least."""

_PIECE = 8 * PAGE
"""Bytes read at once: they are still in the processor's cache when they are checked."""

_NONCE, _TAG = 12, 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where pages belong: the content, and the number in its shard of the first. Not stored, but vouched for."""

    content: bytes
    page: int

    def of(self, turn: int) -> bytes:
        """Where the page so many pages later belongs."""
        return self.content + (self.page + turn).to_bytes(8, "little")


class Seal(Protocol):
    """One way to store pages that follow each other; only the last of a shard may be shorter than `PAGE`."""

    name: str

    def write(self, descriptor: int, at: int, pages: Bytes, place: Place) -> Bytes:
        """Store pages, uint8 (bytes,), at byte `at` of a file, and return their marks, uint8 (n, MARK)."""
        ...

    def read(self, descriptor: int, at: int, pages: Bytes, place: Place, marks: Bytes) -> bool:
        """Fill `pages` from byte `at` of a file; False when one doesn't agree with its mark."""
        ...

    def proof(self) -> str:
        """What a cache records, so that `proves` recognises the key later."""
        ...

    def proves(self, proof: str) -> bool:
        """Whether a proof was made with the same key."""
        ...


class Checked:
    """Pages in the clear. Mark: 1, then the crc32c, little-endian."""

    name = "crc32c"

    def write(self, descriptor: int, at: int, pages: Bytes, place: Place) -> Bytes:
        _write(descriptor, at, pages)
        marks = np.zeros((-(-len(pages) // PAGE), MARK), np.uint8)
        sums = [int(crc32c(page)) for page in _cut(pages)]
        marks[:, 0], marks[:, 1:5] = 1, np.array(sums, "<u4")[:, None].view(np.uint8)
        return marks

    def read(self, descriptor: int, at: int, pages: Bytes, place: Place, marks: Bytes) -> bool:
        sums = iter(marks[:, 1:5].copy().view("<u4")[:, 0].tolist())
        for first in range(0, len(pages), _PIECE):
            piece = pages[first : first + _PIECE]
            if os.preadv(descriptor, [piece.data], at + first) < len(piece):
                return False
            for page in _cut(piece):
                if crc32c(page) != next(sums):
                    return False
        return True

    def proof(self) -> str:
        return ""

    def proves(self, proof: str) -> bool:
        return proof == ""


class Encrypted:
    """Pages under AES-GCM. Mark: a nonce of each page's own, then the tag, which vouches for the page and its place.

    Nonces are random, so one key is good for 2³² pages, which is 140 TB written.

    Raises:
        UsageError: the key has not 16, 24 or 32 bytes, or the package `cryptography` is missing.
    """

    name = "aes-gcm"

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as error:
            raise UsageError("an encrypted cache needs cryptography: pip install 'ropeway[encryption]'") from error
        if not isinstance(key, bytes) or len(key) not in {16, 24, 32}:
            raise UsageError("a cache's key is 16, 24 or 32 random bytes, for example secrets.token_bytes(32)")
        self._cipher, self._invalid = AESGCM(key), InvalidTag

    def write(self, descriptor: int, at: int, pages: Bytes, place: Place) -> Bytes:
        marks = np.zeros((-(-len(pages) // PAGE), MARK), np.uint8)
        for turn, page in enumerate(_cut(pages)):
            nonce, sealed = os.urandom(_NONCE), np.empty(len(page) + _TAG, np.uint8)
            self._cipher.encrypt_into(nonce, page.data, place.of(turn), sealed.data)
            _write(descriptor, at + turn * PAGE, sealed[:-_TAG])
            marks[turn, :_NONCE], marks[turn, _NONCE:] = np.frombuffer(nonce, np.uint8), sealed[-_TAG:]
        return marks

    def read(self, descriptor: int, at: int, pages: Bytes, place: Place, marks: Bytes) -> bool:
        memory = np.empty(PAGE + _TAG, np.uint8)  # small enough to stay in the processor's cache
        for turn, (page, mark) in enumerate(zip(_cut(pages), marks, strict=True)):
            sealed = memory[: len(page) + _TAG]
            if os.preadv(descriptor, [sealed[:-_TAG].data], at + turn * PAGE) < len(page):
                return False
            sealed[-_TAG:] = mark[_NONCE:]
            try:
                self._cipher.decrypt_into(mark[:_NONCE].tobytes(), sealed.data, place.of(turn), page.data)
            except self._invalid:
                return False
        return True

    def proof(self) -> str:
        nonce = os.urandom(_NONCE)
        return (nonce + self._cipher.encrypt(nonce, b"", b"ropeway cache")).hex()

    def proves(self, proof: str) -> bool:
        made = bytes.fromhex(proof)
        try:
            self._cipher.decrypt(made[:_NONCE], made[_NONCE:], b"ropeway cache")
        except self._invalid:
            return False
        return True


def _cut(pages: Bytes) -> Iterator[Bytes]:
    return (pages[first : first + PAGE] for first in range(0, len(pages), PAGE))


def _write(descriptor: int, at: int, content: Bytes) -> None:
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:].data, at + done)
