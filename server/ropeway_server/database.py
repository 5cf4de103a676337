"""The service's state, and which views it has answered. SQLite by default, PostgreSQL by URL."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import QueuePool

from ropeway.errors import ServiceError, UsageError
from ropeway_server.tables import metadata, views

__all__ = ["Connection", "Database", "metadata"]

Connection: TypeAlias = sa.Connection

_ALEMBIC = threading.Lock()  # alembic keeps the migration under way in a global
_MIGRATING, _ALONE = 7405133, 7405134  # of PostgreSQL's advisory locks: any numbers that all replicas agree on


class Database:
    """Views by id, and the tables that other modules keep. Safe to use from threads.

    Every call raises ServiceError when the database does not answer; the constructor also when the schema can't be
    brought up to date.
    """

    def __init__(self, url: str) -> None:
        self._engine = _connect(url)
        try:
            _migrate(self._engine)
        except exc.SQLAlchemyError as error:
            raise ServiceError(f"the database cannot be used: {_reason(error)}", url=_shown(url)) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read by. Don't open another one inside."""
        with _answering(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; an error inside takes it back. Don't open another one inside.

        Raises:
            sqlalchemy.exc.IntegrityError: a row is there already, by another request or replica.
        """
        try:
            with _answering(), self._engine.begin() as connection:
                yield connection
        except ServiceError as error:
            if isinstance(error.__cause__, exc.IntegrityError):
                raise error.__cause__ from None
            raise

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """One transaction that no other of this kind runs beside, in any replica: to read and then write by it."""
        with _answering(), _locked(self._engine, _ALONE) as connection:
            yield connection

    def check(self) -> None:
        """Raise ServiceError when the database does not answer."""
        with self.reading() as connection:
            connection.execute(sa.select(views.c.id).limit(1))  # SQLite opens its file only to read from it

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except exc.DataError as error:  # PostgreSQL's texts hold no NUL; SQLite takes it, and finds nothing by it
        raise UsageError(f"the database cannot hold such a value: {_reason(error)}") from error
    except exc.SQLAlchemyError as error:
        raise ServiceError(f"the database does not answer: {_reason(error)}") from error


def _connect(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed, pool_pre_ping=True)
        if parsed.database in (None, "", ":memory:"):  # one connection, for one thread at a time
            return sa.create_engine(
                parsed, poolclass=QueuePool, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False}
            )
        _make_private(parsed.database)
        engine = sa.create_engine(parsed, connect_args={"timeout": 30})
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise ServiceError(
            f"not a database URL that can be used: {_reason(error)} (sqlite:///file.db, postgresql+psycopg://…)",
            url=_shown(url),
        ) from error
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=WAL"))
    return engine


def _make_private(path: str) -> None:
    """Make a new file its owner's alone, as SQLite's beside it then are: it has the key that URLs are signed by."""
    with suppress(OSError):  # SQLite tells what is wrong with a path when it opens it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _migrate(engine: sa.Engine, to: str = "head") -> None:
    """Bring the schema up to date. Replicas that start together wait for one another: the first does the work."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    with _ALEMBIC, _locked(engine, _MIGRATING) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)


@contextmanager
def _locked(engine: sa.Engine, lock: int) -> Iterator[Connection]:
    """A transaction that only one holder of the lock is in. SQLite has one lock for all who write."""
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
        try:
            if not sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _shown(url: str) -> str:
    """A database URL without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except exc.ArgumentError:
        return "(not a URL)"
