"""Pseudonyms: how a raw identifier becomes a name that says nothing.

A pseudonym is a keyed hash: the same identifier in the same namespace gives the same pseudonym, so a subject can be
followed through a dataset (or through two that share patients, if their recipes name one namespace). Without a secret
anyone who can guess the raw identifiers can compute their pseudonyms; a site that packs real patients gives one.
"""

import hashlib
import hmac

DIGITS = 16
"""Hex digits of a pseudonym (64 bits): two of a million subjects collide with a chance of 3 in 10⁸."""


def pseudonym(raw: str, *, namespace: str, kind: str, secret: bytes) -> str:
    """The pseudonym of a raw identifier of that kind (`subject`, `study`, …)."""
    words = "\0".join((namespace, kind, raw)).encode()
    return hmac.new(secret, words, hashlib.sha256).hexdigest()[:DIGITS]


def uid(raw: str, key: bytes) -> str:
    """The DICOM UID that stands for another one: a keyed hash of it, written as UUID-derived UIDs are (PS3.5, B.2)."""
    digest = hmac.new(key, raw.encode(), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def uid_key(secret: bytes) -> bytes:
    """The key of UIDs, made of the pseudonyms' secret so that who learns it cannot make other pseudonyms."""
    return hmac.new(secret, b"uid", hashlib.sha256).digest()


def fraction(group: str, *, seed: str) -> float:
    """A number in [0, 1) that depends on nothing but the group's name and the seed."""
    digest = hmac.new(seed.encode(), group.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
