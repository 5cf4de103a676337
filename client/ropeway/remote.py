"""The catalog of an index service, over HTTP: the same answers as in-process, and the bytes by the URLs it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from ropeway.cache import DiskCache
from ropeway.catalog import Catalog, Stats
from ropeway.definition import Definition
from ropeway.described import DatasetInfo, SampleInfo, TaskInfo
from ropeway.errors import NotFound, QueryError, UsageError
from ropeway.keys import is_dataset
from ropeway.licences import Licence
from ropeway.manifest import Manifest
from ropeway.query import Query
from ropeway.saved import SavedView, check_name, is_id
from ropeway.service import Service
from ropeway.service_view import ServiceSource
from ropeway.view import View, ViewInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLicence:
    """A view's licence, as the service tells it.

    Attributes:
        needed: whether it has to be accepted before samples are given.
        accepted: when it was, ISO 8601; None where it was not.
    """

    licence: Licence
    needed: bool
    accepted: str | None


class ServiceCatalog(Catalog):
    """A catalog behind an index service.

    Every call raises ServiceError when the service cannot be reached, and the service's own error otherwise:
    AccessDenied when it wants another token, or none will do.

    Args:
        url: of the service.
        token: says who asks; by default what ROPEWAY_TOKEN holds.
        proxied: for hosts that reach only the service and not its object store: shards come through it.
        cache: where pages of views are kept on this node's disk, for the processes that open them next.
    """

    def __init__(
        self, url: str, token: str | None = None, *, proxied: bool = False, cache: DiskCache | None = None
    ) -> None:
        self._service = Service.at(url, token, cache)
        self._proxied = proxied

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._service.url

    def datasets(self) -> list[DatasetInfo]:
        return self._service.ask("GET", "/v1/datasets", list[DatasetInfo])

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        if not is_dataset(dataset):
            raise NotFound(f"no such dataset: {dataset!r} (lower-case letters, digits, _ and -)")
        asked = "" if version is None else f"?{urlencode({'version': version})}"
        return self._service.ask("GET", f"/v1/datasets/{quote(dataset, safe='')}{asked}", Manifest)

    def tasks(self) -> list[TaskInfo]:
        return self._service.ask("GET", "/v1/tasks", list[TaskInfo])

    def count(self, by: Sequence[str], asked: Query) -> Stats:
        if asked.datasets == ():  # what the engine says; a URL can't tell an empty list from none
            raise QueryError("no dataset matches: datasets is empty")
        given = {"by": list(by), "task": asked.task, "split": asked.split, "where": asked.where,
                 "dataset": asked.datasets}  # fmt: skip
        sent = urlencode({name: value for name, value in given.items() if value is not None}, doseq=True)
        return self._service.ask("GET", f"/v1/stats?{sent}", Stats)

    def select(self, asked: Query) -> View:
        return self._view(self._service.ask("POST", "/v1/views", ViewInfo, asked))

    def view(self, view_id: str) -> View:
        return self._view(self._service.ask("GET", self._place(view_id), ViewInfo))

    def make(self, definition: Definition) -> View:
        return self._view(self._service.ask("POST", "/v1/views", ViewInfo, definition))

    def save(self, view: View, name: str, *, tags: Sequence[str] = ()) -> SavedView:
        check_name(name)
        if view.definition is not None:  # made in this process, perhaps: the service need not know it yet
            self._service.ask("POST", "/v1/views", ViewInfo, view.definition)
        return self._service.ask("PUT", f"/v1/saved/{name}", SavedView, {"view": view.id, "tags": list(tags)})

    def saved(self) -> list[SavedView]:
        return self._service.ask("GET", "/v1/saved", list[SavedView])

    def sample(self, manifest: Manifest, key: str) -> SampleInfo:
        """One sample of a dataset's current version.

        Raises:
            NotFound: there is none of that key.
        """
        return self._service.ask("GET", f"/v1/samples/{quote(manifest.dataset)}/{quote(key)}", SampleInfo)

    def licence(self, view_id: str) -> ViewLicence:
        """What the licences of a view's datasets say together, and whether this principal has accepted that."""
        return self._service.ask("GET", f"/v1/views/{quote(view_id, safe='')}/licence", ViewLicence)

    def accept(self, view_id: str) -> ViewLicence:
        """Accept a view's licence, for the token's principal, once and for all.

        Raises:
            AccessDenied: there is no token: somebody with a name accepts.
        """
        return self._service.ask("POST", f"/v1/views/{quote(view_id, safe='')}/licence", ViewLicence)

    def _view(self, info: ViewInfo) -> View:
        return View(info, ServiceSource(self._service, info, self._proxied))

    def _place(self, view: str) -> str:
        """Where a view is, by id or name."""
        if not is_id(view):
            try:
                check_name(view)
            except UsageError as error:
                raise NotFound(f"no view {view!r}: an id has 16 hex digits; {error}") from error
        return f"/v1/views/{quote(view, safe='')}"
