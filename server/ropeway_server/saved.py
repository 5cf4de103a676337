"""What the database knows of views: how each is made, and the names given to some."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from ropeway import definition
from ropeway.definition import Definition
from ropeway.errors import NotFound
from ropeway.saved import SavedView, is_id, is_name, new_name, taken
from ropeway.view import ViewInfo
from ropeway_server.database import Database
from ropeway_server.tables import saved, views


def no_view(view: str) -> NotFound:
    """What is told of a view that is not there, and of one that the asker may not know of; by id or name."""
    if is_id(view):
        return NotFound(f"no view {view}, or none that you may read: ask for it with a query")
    return NotFound(f"no view named {view!r}: `ropeway view ls` lists those that you may read")


class SavedViews:
    """Views by id and by name. Safe to use from threads; raises ServiceError when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, view_id: str, made: Definition, datasets: Mapping[str, str]) -> bool:
        """Remember how a view is made, and of which dataset versions it has samples.

        Returns:
            False for one that is known, which stays as it is.
        """
        row = {"id": view_id, "definition": msgspec.to_builtins(made), "datasets": dict(datasets),
               "created": datetime.now(UTC)}  # fmt: skip
        try:
            with self._database.writing() as connection:
                connection.execute(views.insert().values(row))
        except exc.IntegrityError:  # another request, or another replica, saved the same view
            return False
        return True

    def load(self, view_id: str) -> Definition:
        """How a view is made.

        Raises:
            NotFound: no replica on this database has answered such a view.
        """
        with self._database.reading() as connection:
            made = connection.execute(sa.select(views.c.definition).where(views.c.id == view_id)).scalar()
        if made is None:
            raise no_view(view_id)
        return definition.loads(msgspec.json.encode(made))

    def datasets(self, view_id: str) -> Mapping[str, str] | None:
        """The dataset versions that a view has samples of; None where that is not known before it is made."""
        with self._database.reading() as connection:
            found: Mapping[str, str] | None = connection.execute(
                sa.select(views.c.datasets).where(views.c.id == view_id)
            ).scalar()
        return found

    def find(self, name: str) -> str:
        """The id of the view of a name.

        Raises:
            NotFound: there is none.
        """
        if not is_name(name):
            raise no_view(name)
        with self._database.reading() as connection:
            found = connection.execute(sa.select(saved.c.view).where(saved.c.name == name)).scalar()
        if found is None:
            raise no_view(name)
        return str(found)

    def name(self, info: ViewInfo, name: str, tags: Sequence[str]) -> SavedView:
        """Give a view a name.

        Raises:
            Conflict: it is another view's.
            UsageError: not a name, or not tags.
        """
        given = new_name(info, name, tags)
        row = {"name": name, "view": info.id, "entry": msgspec.to_builtins(given)}
        try:
            with self._database.writing() as connection:
                connection.execute(saved.insert().values(row))
        except exc.IntegrityError:
            there = next(one for one in self.all() if one.name == name)
            if there.view != info.id:
                raise taken(there) from None
            return there
        return given

    def all(self) -> list[SavedView]:
        """The names, sorted."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(saved.c.entry).order_by(saved.c.name)).scalars().all()
        return msgspec.convert(list(rows), list[SavedView])
