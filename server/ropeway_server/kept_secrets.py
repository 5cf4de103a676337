"""Secrets of the service itself, in its database: every replica has the same ones."""

import secrets

import sqlalchemy as sa
from sqlalchemy import exc

from ropeway_server import tables
from ropeway_server.database import Database


def kept_secret(database: Database, name: str) -> bytes:
    """The 32 random bytes of that name; the first who asks makes them."""
    try:
        with database.writing() as connection:
            connection.execute(tables.secrets.insert().values(name=name, value=secrets.token_hex(32)))
    except exc.IntegrityError:  # they are there
        pass
    with database.reading() as connection:
        asked = sa.select(tables.secrets.c.value).where(tables.secrets.c.name == name)
        return bytes.fromhex(connection.execute(asked).scalar_one())
