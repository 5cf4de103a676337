"""Pseudonyms: how a raw identifier becomes a name that says nothing.

A pseudonym is a keyed hash: the same identifier in the same namespace gives the same pseudonym, so a subject can be
followed through a dataset (or through two that share patients, if their recipes name one namespace). Without a secret
anyone who can guess the raw identifiers can compute their pseudonyms; a site that packs real patients gives one.
"""

import hashlib
import hmac
from functools import lru_cache

DIGITS = 16
"""Hex digits of a pseudonym (64 bits): two of a million subjects collide with a chance of 3 in 10⁸."""

_REMEMBERED = 256
"""The samples of a subject often follow each other."""

_BLOCK = 64
"""Bytes that SHA-256 takes in at once."""
_INNER, _OUTER = (bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))


@lru_cache(maxsize=_REMEMBERED)
def pseudonym(raw: str, namespace: str, kind: str, secret: bytes) -> str:
    """The pseudonym of a raw identifier of that kind (`subject`, `study`, …)."""
    return keyed("\0".join((namespace, kind, raw)).encode(), secret).hex()[:DIGITS]


def uid(raw: str, key: bytes) -> str:
    """The DICOM UID that stands for another one: a keyed hash of it, written as UUID-derived UIDs are (PS3.5, B.2)."""
    return f"2.25.{int.from_bytes(keyed(raw.encode(), key)[:16], 'big')}"


def uid_key(secret: bytes) -> bytes:
    """The key of UIDs, made of the pseudonyms' secret so that who learns it cannot make other pseudonyms."""
    return hmac.new(secret, b"uid", hashlib.sha256).digest()


@lru_cache(maxsize=_REMEMBERED)
def fraction(group: str, seed: str) -> float:
    """A number in [0, 1) that depends on nothing but the group's name and the seed."""
    return int.from_bytes(keyed(group.encode(), seed.encode())[:6], "big") / 2**48


def keyed(words: bytes, key: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104): `hmac.digest(key, words, "sha256")` at half its time where a key serves many words."""
    begun = _begun(key)
    inner, outer = begun[0].copy(), begun[1].copy()
    inner.update(words)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=16)
def _begun(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Both hashes of an HMAC, which have taken in the key."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))
