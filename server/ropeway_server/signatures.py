"""URLs of the service's own that read one shard for a while: what presigned URLs are to an object store.

A capability is who it was given to, for which view and until when, as base64 of JSON, with an HMAC-SHA256 over it and
the shard's path (RFC 2104). Its key is in the database, so that every replica takes what another one gave.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from time import time

import msgspec

from ropeway_server.database import Database
from ropeway_server.kept_secrets import kept_secret
from ropeway_server.principals import Principal, Refused

LEEWAY = 30
"""Seconds that the clocks of replicas may differ by."""

_DOES_NOT_HOLD = "the URL does not hold, or not any more: ask POST /v1/views/{id}/access for a new one"


@dataclass(frozen=True, slots=True)
class Capability:
    """That a principal may read a shard for a view, until a time by the service's clock (Unix seconds)."""

    principal: Principal
    view: str
    until: int


_DECODER = msgspec.json.Decoder(Capability)  # made here: threads that are first to decode a class at once crash msgspec


class Signatures:
    """Signs with the database's key."""

    def __init__(self, database: Database) -> None:
        self._key = kept_secret(database, "urls")

    def sign(self, path: str, given: Capability) -> str:
        """A capability to read the shard at a path, fit for a URL's query."""
        body = base64.urlsafe_b64encode(msgspec.json.encode(given)).rstrip(b"=")
        return f"{body.decode()}.{self._mac(body, path)}"

    def open(self, path: str, text: str) -> Capability:
        """What was signed for the shard at a path.

        Raises:
            Refused: it was not signed here for that shard, or has ended.
        """
        body, _, mac = text.partition(".")
        if not text.isascii() or not hmac.compare_digest(mac, self._mac(body.encode(), path)):
            raise Refused(_DOES_NOT_HOLD, "URL that was not signed here")
        padded = body + "=" * (-len(body) % 4)
        given = _DECODER.decode(base64.urlsafe_b64decode(padded))
        if given.until + LEEWAY < time():
            raise Refused(_DOES_NOT_HOLD, "URL that has ended", given.principal)
        return given

    def _mac(self, body: bytes, path: str) -> str:
        return hmac.new(self._key, body + b"\n" + path.encode(), hashlib.sha256).hexdigest()
