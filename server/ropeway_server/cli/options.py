"""What the commands have in common: the database, and who works at it."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
