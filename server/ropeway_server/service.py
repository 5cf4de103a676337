"""What a running service holds."""

from dataclasses import dataclass
from functools import cached_property

from ropeway.catalog import StoreCatalog
from ropeway.errors import ServiceError, StoreError
from ropeway.stores import Store, open_store
from ropeway_server.acceptances import Acceptances
from ropeway_server.audit import AuditLog
from ropeway_server.database import Database
from ropeway_server.grants import Grants
from ropeway_server.groups import Groups
from ropeway_server.identity import Identities
from ropeway_server.kept_secrets import kept_secret
from ropeway_server.metrics import Metrics
from ropeway_server.readiness import Readiness
from ropeway_server.refusals import Refusals
from ropeway_server.saved import SavedViews
from ropeway_server.settings import Settings
from ropeway_server.shards import PublishedShards
from ropeway_server.signatures import Signatures
from ropeway_server.suppression import Suppression
from ropeway_server.tiers import Tiers
from ropeway_server.tokens import Tokens
from ropeway_server.views import Views

FRESH = 1.0
"""Seconds after which a new dataset version is seen, at the latest."""


@dataclass(frozen=True)
class Service:
    """The parts of one replica. Routes reach what it answers for by a `Reader` only: that one knows who asks."""

    settings: Settings
    catalog: StoreCatalog
    database: Database
    views: Views
    shards: PublishedShards
    metrics: Metrics
    tiers: Tiers
    identities: Identities
    tokens: Tokens
    groups: Groups
    grants: Grants
    acceptances: Acceptances
    audit: AuditLog
    refusals: Refusals
    signatures: Signatures
    suppression: Suppression

    @property
    def store(self) -> Store:
        """The store it answers for."""
        return self.catalog.store

    @cached_property
    def readiness(self) -> Readiness:
        """Whether the store and the database answer."""
        return Readiness(self._check)

    def _check(self) -> None:
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
    catalog = StoreCatalog(open_store(settings.store), fresh=FRESH)
    catalog.store.folders()
    database = Database(settings.database)
    audit = AuditLog(database)
    return Service(
        settings=settings,
        catalog=catalog,
        database=database,
        views=Views(catalog, SavedViews(database)),
        shards=PublishedShards(catalog),
        metrics=metrics,
        tiers=Tiers(catalog),
        identities=Identities(settings, database),
        tokens=Tokens(database),
        groups=Groups(database),
        grants=Grants(database),
        acceptances=Acceptances(database),
        audit=audit,
        refusals=Refusals(audit),
        signatures=Signatures(database),
        suppression=Suppression(catalog, kept_secret(database, "counts")),
    )
