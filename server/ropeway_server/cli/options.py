"""What the commands have in common: the database, and who works at it."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ropeway_server.database import Database as State
    from ropeway_server.principals import Principal

DATABASE = "sqlite:///ropeway.db"

Database = Annotated[
    str,
    typer.Option(
        envvar="ROPEWAY_DATABASE", metavar="URL",
        help="The service's state: sqlite:///file.db or postgresql+psycopg://…",
    ),
]  # fmt: skip


@contextmanager
def opened(url: str) -> "Iterator[State]":
    """The database at a URL, for the length of a command.

    Raises:
        UsageError: the service is not installed.
        ServiceError: the database cannot be used.
    """
    with installed():
        from ropeway_server.database import Database as State

    database = State(url)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def existing(url: str) -> "Iterator[State]":
    """The same for commands that look at what is there, or end it: nothing is made by a mistyped path.

    Raises:
        UsageError, ServiceError: as `opened`; also where no service has ever kept its state there.
    """
    with installed():
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

    from ropeway.errors import UsageError

    with suppress(ArgumentError):  # which `opened` tells
        parts = make_url(url)
        if parts.get_backend_name() == "sqlite" and parts.database and not Path(parts.database).exists():
            raise UsageError(
                f"no service has kept its state in {parts.database}: give the --database of `ropeway serve`"
            )
    with opened(url) as database:
        yield database


@contextmanager
def installed() -> Iterator[None]:
    """Around imports of the service: says what to install where something is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        from ropeway.errors import UsageError

        raise UsageError(f"the service needs {error.name}: pip install 'ropeway[server]'") from error


def operator() -> "Principal":
    """Who runs the command, as the audit names them."""
    from ropeway_server.principals import Principal

    try:
        return Principal(name=f"cli:{getpass.getuser()}")
    except (OSError, KeyError):  # a container's user may have no name
        return Principal(name=f"cli:{os.getuid()}")
