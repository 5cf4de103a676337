"""What a running service holds; route handlers get it as a dependency."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ropeway.catalog import StoreCatalog
from ropeway.errors import ServiceError, StoreError
from ropeway.stores import Store, open_store
from ropeway_server.database import Database
from ropeway_server.metrics import Metrics
from ropeway_server.settings import Settings
from ropeway_server.shards import PublishedShards
from ropeway_server.views import Views


@dataclass(frozen=True)
class Service:
    """The parts of one replica."""

    settings: Settings
    catalog: StoreCatalog
    database: Database
    views: Views
    shards: PublishedShards
    metrics: Metrics

    @property
    def store(self) -> Store:
        """The store it answers for."""
        return self.catalog.store

    def check(self) -> None:
        """Raise ServiceError when the store or the database does not answer."""
        try:
            self.store.folders()
        except StoreError as error:
            raise ServiceError(f"the store does not answer: {error}") from error
        self.database.check()


def open_service(settings: Settings, metrics: Metrics) -> Service:
    """Open store and database.

    Raises:
        UsageError, StoreError, ServiceError: one of them cannot be used.
    """
    catalog = StoreCatalog(open_store(settings.store))
    catalog.store.folders()
    database = Database(settings.database)
    return Service(settings, catalog, database, Views(catalog, database), PublishedShards(catalog), metrics)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
