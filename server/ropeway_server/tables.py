"""The tables of the service's state. What changes here needs a migration beside it."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.TypeDecorator[datetime]):
    """A point in time, aware and in UTC whatever the database keeps."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        time: datetime = value
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


metadata = sa.MetaData()

views = sa.Table(
    "views",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("datasets", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
)

saved = sa.Table(
    "saved",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("view", sa.String(16), nullable=False),
    sa.Column("entry", sa.JSON, nullable=False),
)
"""Names of views; `entry` is what is told of one."""

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("admin", sa.Boolean, nullable=False),
    sa.Column("datasets", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("expires", UtcTime, nullable=True),
    sa.Column("revoked", UtcTime, nullable=True),
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("principal", sa.String(128), primary_key=True),
    sa.Column("group_name", sa.String(64), primary_key=True),
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("holder", sa.String(160), nullable=False, index=True),
    sa.Column("dataset", sa.String(128), nullable=True),
    sa.Column("tier", sa.String(16), nullable=True),
    sa.Column("level", sa.String(8), nullable=False),
    sa.Column("agreement", sa.String(512), nullable=False),
    sa.Column("signed", sa.Date, nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("expires", UtcTime, nullable=True),
    sa.Column("revoked", UtcTime, nullable=True),
)

acceptances = sa.Table(
    "acceptances",
    metadata,
    sa.Column("principal", sa.String(128), primary_key=True),
    sa.Column("view", sa.String(16), primary_key=True),
    sa.Column("dataset", sa.String(128), primary_key=True),
    sa.Column("licence", sa.String(512), nullable=False),
    sa.Column("accepted", UtcTime, nullable=False),
)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(128), nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)
"""One row per event: `entry` is the exact JSON text that `digest` is over."""

audit_datasets = sa.Table(
    "audit_datasets",
    metadata,
    sa.Column("dataset", sa.String(128), primary_key=True),
    sa.Column("number", sa.Integer, sa.ForeignKey("audit.number"), primary_key=True),
)
"""Finds the events of a dataset. The audit's check compares it with the entries."""
