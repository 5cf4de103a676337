"""The service's state: which views it has answered. SQLite by default, PostgreSQL by URL."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import StaticPool

from ropeway.errors import NotFound, ServiceError
from ropeway.query import Query

metadata = sa.MetaData()
views = sa.Table(
    "views",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("query", sa.JSON, nullable=False),
    sa.Column("versions", sa.JSON, nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
)

_ALEMBIC = threading.Lock()  # alembic keeps the migration under way in a global
_LOCK = 7405133  # of PostgreSQL's advisory locks: any number that all replicas agree on


class Database:
    """Views by id. Safe to use from threads.

    Every call raises ServiceError when the database does not answer; the constructor also when the schema can't be
    brought up to date.
    """

    def __init__(self, url: str) -> None:
        self._engine = _connect(url)
        try:
            _migrate(self._engine)
        except exc.SQLAlchemyError as error:
            raise ServiceError(f"the database cannot be used: {_reason(error)}", url=_shown(url)) from error

    def save(self, view_id: str, query: Query, versions: Mapping[str, str]) -> bool:
        """Remember how a view is made: the query, and all versions it was asked over.

        Returns:
            False for one that is known, which stays as it is.
        """
        row = {"id": view_id, "query": asdict(query), "versions": dict(versions), "created": datetime.now(UTC)}
        try:
            with _answering(), self._engine.begin() as connection:
                connection.execute(views.insert().values(row))
        except exc.IntegrityError:  # another request, or another replica, saved the same view
            return False
        return True

    def load(self, view_id: str) -> tuple[Query, dict[str, str]]:
        """The query and dataset versions of a view.

        Raises:
            NotFound: no replica on this database has answered such a view.
        """
        with _answering(), self._engine.connect() as connection:
            row = connection.execute(sa.select(views.c.query, views.c.versions).where(views.c.id == view_id)).first()
        if row is None:
            raise NotFound(f"no view {view_id}: ask for it with POST /v1/views first")
        return msgspec.convert(row.query, Query), dict(row.versions)

    def check(self) -> None:
        """Raise ServiceError when the database does not answer."""
        with _answering(), self._engine.connect() as connection:
            connection.execute(sa.select(views.c.id).limit(1))  # SQLite opens its file only to read from it

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise
    except exc.SQLAlchemyError as error:
        raise ServiceError(f"the database does not answer: {_reason(error)}") from error


def _connect(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed, pool_pre_ping=True)
        if parsed.database in (None, "", ":memory:"):
            return sa.create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False})
        engine = sa.create_engine(parsed, connect_args={"timeout": 30})
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise ServiceError(
            f"not a database URL that can be used: {_reason(error)} (sqlite:///file.db, postgresql+psycopg://…)",
            url=_shown(url),
        ) from error
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=WAL"))
    return engine


def _migrate(engine: sa.Engine) -> None:
    """Bring the schema up to date. Replicas that start together wait for one another: the first does the work."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    sqlite = engine.dialect.name == "sqlite"
    with _ALEMBIC, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else f"SELECT pg_advisory_lock({_LOCK})")
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        finally:
            connection.exec_driver_sql("COMMIT" if sqlite else f"SELECT pg_advisory_unlock({_LOCK})")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _shown(url: str) -> str:
    """A database URL without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except exc.ArgumentError:
        return "(not a URL)"
