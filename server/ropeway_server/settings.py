"""What a service is started with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One replica's configuration.

    Attributes:
        store: URL of the store it answers for.
        database: SQLAlchemy URL of its state; replicas that share a PostgreSQL share their views.
        access_seconds: how long the URLs it hands out stay valid.
    """

    store: str
    database: str = "sqlite://"
    access_seconds: int = 900
