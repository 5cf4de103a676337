"""Views of a store: what a query selected, and views made of it as their definitions say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from ropeway.definition import Balanced, Definition, FewShot, Joined, Limited, Selected, Without, of_query
from ropeway.joins import join
from ropeway.query import Query
from ropeway.samples import Layout, Samples
from ropeway.selection import Selection
from ropeway.shard_bytes import ShardBytes, StoreBytes
from ropeway.view import View, ViewInfo

if TYPE_CHECKING:
    from ropeway.catalog import StoreCatalog


def view_of(catalog: "StoreCatalog", selection: Selection, versions: Mapping[str, str]) -> View:
    """The view of what a query selected; `versions` are all that it was asked over."""
    manifests = [indexed.manifest for indexed, _ in selection.pieces]
    info = ViewInfo(
        id=selection.id,
        samples=selection.count,
        bytes=selection.bytes,
        datasets={manifest.dataset: manifest.version for manifest in manifests},
        definition=of_query(selection.query, versions),
        tasks=selection.tasks,
        parts=selection.parts,
        label_counts=selection.label_counts,
        namespaces={m.dataset: m.provenance.namespace for m in manifests if m.provenance.namespace},
        targets=selection.targets,
    )
    return View(info, StoreSource(catalog, selection.query, versions, selection))


def made(definition: Definition, select: Callable[[Query, Mapping[str, str]], View]) -> View:
    """The view of a definition.

    Args:
        definition: how it is made.
        select: gives the view of a query over these versions.
    """
    match definition:
        case Selected():
            return select(definition.query, definition.versions)
        case Limited():
            return made(definition.of, select).limit(definition.count, seed=definition.seed)
        case FewShot():
            whole = made(definition.of, select)
            return whole.few_shot(definition.task, per_class=definition.per_class, seed=definition.seed)
        case Balanced():
            return made(definition.of, select).balanced(definition.task, seed=definition.seed)
        case Without():
            return made(definition.of, select).without(made(definition.other, select))
        case Joined():
            return join(made(definition.of, select), made(definition.other, select), definition)


@dataclass(frozen=True, slots=True)
class StoreSource:
    """A view's content from its store. In another process, what was selected is asked for anew.

    Attributes:
        versions: all that the query was asked over, also where nothing matched: its filter may name their columns.
    """

    catalog: "StoreCatalog"
    query: Query
    versions: Mapping[str, str]
    selection: Selection | None

    def __reduce__(self) -> tuple[object, ...]:
        return StoreSource, (self.catalog, self.query, self.versions, None)

    def selected(self) -> Selection:
        """What the query selects."""
        return self.catalog.selection(self.query, self.versions) if self.selection is None else self.selection

    def samples(self) -> Samples:
        return self.selected().samples

    def reader(self, table: Layout) -> ShardBytes:
        return StoreBytes(self.catalog.store, table.shards)

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.selected().columns(names)
