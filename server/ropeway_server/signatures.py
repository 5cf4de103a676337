"""URLs of the service's own that read one shard for a while: what presigned URLs are to an object store.

A capability is who it was given to, for which view and until when, as base64 of JSON, with an HMAC-SHA256 over it and
the shard's path (RFC 2104). Its key is in the database, so that every replica takes what another one gave.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from time import time

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from ropeway.errors import AccessDenied
from ropeway_server import tables
from ropeway_server.database import Database
from ropeway_server.principals import Principal

LEEWAY = 30
"""Seconds that the clocks of replicas may differ by."""

_DOES_NOT_HOLD = "the URL does not hold, or not any more: ask POST /v1/views/{id}/access for a new one"


@dataclass(frozen=True, slots=True)
class Capability:
    """That a principal may read a shard for a view, until a time by the service's clock (Unix seconds)."""

    principal: Principal
    view: str
    until: int


class Signatures:
    """Signs with the database's key."""

    def __init__(self, database: Database) -> None:
        self._key = _key(database)

    def sign(self, path: str, given: Capability) -> str:
        """A capability to read the shard at a path, fit for a URL's query."""
        body = base64.urlsafe_b64encode(msgspec.json.encode(given)).rstrip(b"=")
        return f"{body.decode()}.{self._mac(body, path)}"

    def open(self, path: str, text: str) -> Capability:
        """What was signed for the shard at a path.

        Raises:
            AccessDenied: it was not signed here for that shard, or has ended.
        """
        body, _, mac = text.partition(".")
        if not text.isascii() or not hmac.compare_digest(mac, self._mac(body.encode(), path)):
            raise AccessDenied(_DOES_NOT_HOLD)
        padded = body + "=" * (-len(body) % 4)
        given = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Capability)
        if given.until + LEEWAY < time():
            raise AccessDenied(_DOES_NOT_HOLD)
        return given

    def _mac(self, body: bytes, path: str) -> str:
        return hmac.new(self._key, body + b"\n" + path.encode(), hashlib.sha256).hexdigest()


def _key(database: Database) -> bytes:
    """The key of this database; the first who asks makes it."""
    name = "urls"
    try:
        with database.writing() as connection:
            connection.execute(tables.secrets.insert().values(name=name, value=secrets.token_hex(32)))
    except exc.IntegrityError:  # there is one
        pass
    with database.reading() as connection:
        asked = sa.select(tables.secrets.c.value).where(tables.secrets.c.name == name)
        return bytes.fromhex(connection.execute(asked).scalar_one())
