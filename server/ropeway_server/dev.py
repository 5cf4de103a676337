"""What `ropeway serve --dev` does more: a token for whoever tries it out."""

from datetime import UTC, datetime, timedelta

from ropeway.errors import UsageError
from ropeway_server.database import Database
from ropeway_server.principals import Principal
from ropeway_server.settings import Settings
from ropeway_server.tokens import Tokens

LIFE = timedelta(hours=12)
"""How long the token is good for."""

_OWN = ("127.0.0.1", "::1", "localhost")


def admin_token(settings: Settings) -> str:
    """A new admin token named `dev`, in the service's database.

    Raises:
        UsageError: the database is not kept, or other machines reach the address that the service listens on.
    """
    if settings.database in ("sqlite://", "sqlite:///:memory:"):
        raise UsageError("--dev needs a database that is kept: --database sqlite:///file.db")
    if settings.host not in _OWN:
        raise UsageError(f"--dev prints a token that may do everything: listen on 127.0.0.1, not on {settings.host}")
    database = Database(settings.database)
    try:
        by, end = Principal(name="cli:serve --dev"), datetime.now(UTC) + LIFE
        return Tokens(database).create("dev", by=by, admin=True, expires=end)[1]
    finally:
        database.close()
