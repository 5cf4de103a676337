"""Grants: who may read what, until when, and by which agreement."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec
import sqlalchemy as sa
from pydantic import ConfigDict

from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound, UsageError
from ropeway.manifest import Access
from ropeway_server import tables
from ropeway_server.audit import Event, write
from ropeway_server.database import Database
from ropeway_server.principals import Principal, check_about, check_holder
from ropeway_server.times import Day, Moment

Level: TypeAlias = Literal["read", "count"]
"""`read` gives everything; `count` that the dataset exists, and counts without small cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGrant:
    """A right to be given.

    Attributes:
        holder: a principal's name, `group:NAME` or `everyone`.
        dataset: its id; or else
        tier: all datasets of that tier, and of that tier only.
        agreement: what was agreed to, by name and version.
        signed: when.
        expires: when the right ends; None for never.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")  # a misspelt `expires` would give a right for ever

    holder: str
    agreement: str
    signed: Day
    dataset: str | None = None
    tier: Access | None = None
    level: Level = "read"
    expires: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(NewGrant):
    """A right that was given; `revoked` says since when it holds no more."""

    id: int
    created: datetime
    revoked: datetime | None = None

    @property
    def named(self) -> str:
        """The agreement, as the audit names it."""
        return f"{self.agreement}, {self.signed.isoformat()}"


class Grants:
    """The grants in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, asked: NewGrant, *, by: Principal) -> Grant:
        """Give a right.

        Raises:
            UsageError: it is for nobody, for nothing, or for both a dataset and a tier.
        """
        _check(asked)
        created = datetime.now(UTC)
        row = {**asdict(asked), "created": created}
        told: dict[str, str | int | None] = {
            "holder": asked.holder, "tier": asked.tier, "level": asked.level, "agreement": asked.agreement,
            "signed": asked.signed.isoformat(), "expires": asked.expires.isoformat() if asked.expires else None,
        }  # fmt: skip
        with self._database.alone() as connection:
            number = connection.execute(tables.grants.insert().values(row).returning(tables.grants.c.id)).scalar_one()
            told["grant"] = number
            event = Event(principal=by.name, token=by.token, action="grant given", datasets=_about(asked), detail=told)
            write(connection, [event])
        return Grant(**asdict(asked), id=number, created=created)

    def revoke(self, number: int, *, by: Principal) -> None:
        """End a right now; ending it twice is no error.

        Raises:
            NotFound: there is none of that number.
        """
        mine = tables.grants.c.id == number
        with self._database.alone() as connection:
            row = connection.execute(sa.select(tables.grants).where(mine)).first()
            if row is None:
                raise NotFound(f"no grant {number}: see `ropeway grant list`")
            if row.revoked is None:
                connection.execute(tables.grants.update().where(mine).values(revoked=datetime.now(UTC)))
                told = {"grant": number, "holder": row.holder, "tier": row.tier}
                event = Event(principal=by.name, token=by.token, action="grant revoked", datasets=_about(row),
                              detail=told)  # fmt: skip
                write(connection, [event])

    def listed(self) -> list[Grant]:
        """All grants, those that hold no more too, by number."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tables.grants).order_by(tables.grants.c.id)).all()
        return [_grant(row) for row in rows]

    def of(self, principal: Principal) -> list[Grant]:
        """What a principal holds now, itself or by a group."""
        if not principal.holders:
            return []
        columns, now = tables.grants.c, datetime.now(UTC)
        asked = sa.select(tables.grants).where(
            columns.holder.in_(principal.holders),
            columns.revoked.is_(None),
            sa.or_(columns.expires.is_(None), columns.expires > now),
        )
        with self._database.reading() as connection:
            return [_grant(row) for row in connection.execute(asked)]


def note_on(asked: NewGrant, catalog: StoreCatalog) -> str | None:
    """What is told of a right to a dataset that is not in the store: it may come, or the id is misspelt."""
    try:
        if asked.dataset is not None:
            catalog.manifest(asked.dataset)
    except NotFound:
        return f"no such dataset in the store yet: {asked.dataset}"
    return None


def checked(fields: Mapping[str, object]) -> NewGrant:
    """A right to be given, from its fields.

    Raises:
        UsageError: one of them is not what it should be.
    """
    try:
        return msgspec.convert(fields, NewGrant)
    except msgspec.ValidationError as error:
        raise UsageError(f"not a grant: {error}") from error


def _check(asked: NewGrant) -> None:
    check_holder(asked.holder)
    if (asked.dataset is None) == (asked.tier is None):
        raise UsageError("a grant is for a dataset or for a tier: give one of them")
    if asked.dataset is not None:
        check_about(asked.dataset)
    if not asked.agreement.strip() or len(asked.agreement) > 512 or not asked.agreement.isprintable():
        raise UsageError("a grant names the agreement it comes from, in 1 to 512 printable characters")


def _about(asked: Any) -> tuple[str, ...]:
    return () if asked.dataset is None else (asked.dataset,)


def _grant(row: Any) -> Grant:
    return Grant(**row._mapping)


def agreements(grants: Iterable[Grant]) -> tuple[str, ...]:
    """The agreements of some grants, each once."""
    return tuple(dict.fromkeys(grant.named for grant in grants))
