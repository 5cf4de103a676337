"""Bearer tokens: made once, shown once, stored as a hash.

A token is `ropeway_<id>_<secret>`; the prefix lets scanners of leaked secrets find it. The secret has 256 random bits,
so that one round of SHA-256 is enough to store it by: there is nothing to guess (NIST SP 800-63B, 5.1.2.2).
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Any

import sqlalchemy as sa

from ropeway.errors import NotFound
from ropeway_server import tables
from ropeway_server.audit import Event, write
from ropeway_server.audit_chain import Detail
from ropeway_server.database import Database
from ropeway_server.principals import NotIdentified, Principal, check_about, check_name

PREFIX = "ropeway_"

_TOKEN = re.compile(r"ropeway_([0-9a-f]{12})_([0-9a-f]{64})")
_DOES_NOT_HOLD = "the token is not one of this service, has expired or was revoked: ask its operators for a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token, without its secret.

    Attributes:
        id: the part that may be told.
        datasets: that it is limited to; None for no such limit.
        revoked: since when it holds no more; None while it does.
    """

    id: str
    name: str
    admin: bool
    datasets: tuple[str, ...] | None
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class Tokens:
    """The tokens in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        *,
        by: Principal,
        admin: bool = False,
        datasets: Sequence[str] | None = None,
        expires: datetime | None = None,
    ) -> tuple[TokenInfo, str]:
        """A new token for a principal, which may have several; the text is not kept.

        Args:
            name: of the principal.
            by: who makes it, for the audit.
            admin: whether it may do everything.
            datasets: that it is limited to; None for no such limit.
            expires: when it ends; None for never.

        Raises:
            UsageError: not a name, or not a dataset's.
        """
        only = None if datasets is None else tuple(check_about(dataset) for dataset in datasets)
        made = TokenInfo(id=secrets.token_hex(6), name=check_name(name), admin=admin, datasets=only,
                         created=datetime.now(UTC), expires=expires, revoked=None)  # fmt: skip
        secret = secrets.token_hex(32)
        row = {"id": made.id, "name": name, "digest": _digest(secret), "admin": admin, "created": made.created,
               "datasets": None if only is None else list(only), "expires": expires}  # fmt: skip
        told: Detail = {"token": made.id, "name": name, "admin": admin}
        with self._database.alone() as connection:
            connection.execute(tables.tokens.insert().values(row))
            event = Event(principal=by.name, token=by.token, action="token created", datasets=only or (), detail=told)
            write(connection, [event])
        return made, f"{PREFIX}{made.id}_{secret}"

    def identify(self, text: str) -> Principal:
        """Who comes by a token.

        Raises:
            NotIdentified: it does not hold.
        """
        parts = _TOKEN.fullmatch(text)
        if not parts:
            raise NotIdentified(_DOES_NOT_HOLD, "not a token")
        rows = self._rows(parts[1])
        if not rows or not compare_digest(rows[0].digest, _digest(parts[2])):
            raise NotIdentified(_DOES_NOT_HOLD, "unknown token")
        return _principal(rows)

    def principal(self, token_id: str) -> Principal:
        """Who comes by something that a token was good for before.

        Raises:
            NotIdentified: it holds no more.
        """
        rows = self._rows(token_id)
        if not rows:
            raise NotIdentified(_DOES_NOT_HOLD, "unknown token")
        return _principal(rows)

    def listed(self) -> list[TokenInfo]:
        """All tokens, those that hold no more too, by age."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tables.tokens).order_by(tables.tokens.c.created)).all()
        return [_info(row) for row in rows]

    def revoke(self, token_id: str, *, by: Principal) -> None:
        """End a token now; ending it twice is no error.

        Raises:
            NotFound: there is none of that id.
        """
        mine = tables.tokens.c.id == token_id
        with self._database.alone() as connection:
            row = connection.execute(sa.select(tables.tokens).where(mine)).first()
            if row is None:
                raise NotFound(f"no token {token_id!r}: an id is the middle part of a token, 12 hex digits")
            if row.revoked is None:
                connection.execute(tables.tokens.update().where(mine).values(revoked=datetime.now(UTC)))
                told = {"token": token_id, "name": row.name}
                event = Event(principal=by.name, token=by.token, action="token revoked", detail=told)
                write(connection, [event])

    def _rows(self, token_id: str) -> Sequence[Any]:
        """The token with each group of its principal, in one question: every request asks it."""
        tokens, members = tables.tokens, tables.members
        joined = tokens.outerjoin(members, members.c.principal == tokens.c.name)
        asked = sa.select(tokens, members.c.group_name).select_from(joined).where(tokens.c.id == token_id)
        with self._database.reading() as connection:
            return connection.execute(asked).all()


def _principal(rows: Sequence[Any]) -> Principal:
    row = rows[0]
    ended = Principal(name=row.name, token=row.id)
    if row.revoked is not None:
        raise NotIdentified(_DOES_NOT_HOLD, "revoked token", ended)
    if row.expires is not None and row.expires <= datetime.now(UTC):
        raise NotIdentified(_DOES_NOT_HOLD, "expired token", ended)
    only = None if row.datasets is None else frozenset(row.datasets)
    groups = frozenset(one.group_name for one in rows if one.group_name is not None)
    return Principal(name=row.name, token=row.id, groups=groups, admin=row.admin, only=only)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _info(row: Any) -> TokenInfo:
    datasets = None if row.datasets is None else tuple(row.datasets)
    return TokenInfo(id=row.id, name=row.name, admin=row.admin, datasets=datasets, created=row.created,
                     expires=row.expires, revoked=row.revoked)  # fmt: skip
