"""What a service is started with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One replica's configuration.

    Attributes:
        store: URL of the store it answers for.
        database: SQLAlchemy URL of its state; replicas that share a PostgreSQL share their views.
        host, port: where it listens; port 0 takes a free one.
        access_seconds: how long the URLs it hands out stay valid.
    """

    store: str
    database: str = "sqlite://"
    host: str = "127.0.0.1"
    port: int = 8080
    access_seconds: int = 900
