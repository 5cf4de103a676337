"""Groups of principals, to grant to."""

import sqlalchemy as sa

from ropeway.errors import NotFound
from ropeway_server import tables
from ropeway_server.audit import Event, write
from ropeway_server.database import Database
from ropeway_server.principals import Principal, check_group, check_member


class Groups:
    """Who is in which group."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, group: str, principal: str, *, by: Principal) -> None:
        """Put somebody into a group; twice is no error.

        Raises:
            UsageError: not such names.
        """
        row = {"group_name": check_group(group), "principal": check_member(principal)}
        with self._database.alone() as connection:
            if connection.execute(sa.select(tables.members).where(*_membership(group, principal))).first() is None:
                connection.execute(tables.members.insert().values(row))
                write(connection, [Event(principal=by.name, token=by.token, action="group joined", detail=row)])

    def remove(self, group: str, principal: str, *, by: Principal) -> None:
        """Take somebody out of a group.

        Raises:
            NotFound: they are not in it.
        """
        with self._database.alone() as connection:
            gone = connection.execute(tables.members.delete().where(*_membership(group, principal)))
            if not gone.rowcount:
                raise NotFound(f"{principal!r} is not in the group {group!r}")
            told = {"group_name": group, "principal": principal}
            write(connection, [Event(principal=by.name, token=by.token, action="group left", detail=told)])

    def listed(self) -> dict[str, list[str]]:
        """Each group's members, by name."""
        order = (tables.members.c.group_name, tables.members.c.principal)
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(*order).order_by(*order)).all()
        found: dict[str, list[str]] = {}
        for group, principal in rows:
            found.setdefault(group, []).append(principal)
        return found


def groups_of(database: Database, principal: str) -> frozenset[str]:
    """The groups that a principal is in."""
    mine = sa.select(tables.members.c.group_name).where(tables.members.c.principal == principal)
    with database.reading() as connection:
        return frozenset(connection.execute(mine).scalars())


def _membership(group: str, principal: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return tables.members.c.group_name == group, tables.members.c.principal == principal
