"""Datasets that share patients: nobody may be in one split here and in another there, whichever was packed first."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from ropeway import index, manifest_reading
from ropeway.errors import NotFound, SourceError
from ropeway.keys import is_dataset
from ropeway.manifest import Manifest, SplitName, latest_path, object_path
from ropeway.publishing import published
from ropeway.stores import Store
from ropeway_shardgen.plan import Plan
from ropeway_shardgen.planned import outline

_TOLD = 3
_AT_ONCE = 16
"""Manifests fetched at once."""


def check_shared_subjects(plan: Plan, store: Store) -> None:
    """Hold the planned splits against those of the store's datasets of the same namespace.

    Pseudonyms made with different keys cannot be compared, so such datasets say nothing of each other.

    Raises:
        SourceError: a subject would be in different splits, and neither recipe says why the official ones do that.
    """
    recipe = plan.recipe
    if recipe.subject is None or recipe.split_leaks:
        return
    others = list(_of_the_same_people(plan, store))
    planned = _splits_planned(plan) if others else {}
    for other in others:
        crossing = sorted(_crossing(planned, _splits(store, other)))
        if crossing:
            raise SourceError(
                f"{len(crossing)} subjects are in another split of {other.dataset}@{other.version}, which has the same "
                f"patients, such as {', '.join(crossing[:_TOLD])}: give both one split rule, or say under split.leaks "
                "why not",
                dataset=recipe.id,
            )


def _of_the_same_people(plan: Plan, store: Store) -> Iterator[Manifest]:
    """The store's other datasets with subjects of this one's namespace, named by the same key."""
    own = plan.recipe
    for other in _datasets(store, own.id):
        told = other.provenance
        if told.namespace != own.namespace or told.leaks:
            continue
        if told.parameters.get("pseudonyms") == plan.parameters["pseudonyms"]:
            yield other


def _datasets(store: Store, own: str) -> Iterator[Manifest]:
    """The other datasets, in their current versions."""
    try:
        names = [name for name in store.folders() if is_dataset(name) and name != own]
    except NotFound:  # a folder that this pack is about to make
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from filter(None, pool.map(lambda name: _current(store, name), names))


def _current(store: Store, dataset: str) -> Manifest | None:
    """Its manifest; None where nothing is published yet."""
    path = latest_path(dataset)
    try:
        data, _ = store.load(path)
    except NotFound:
        return None
    return published(store, dataset, manifest_reading.loads_latest(data, url=f"{store.url}/{path}").version)


def _splits_planned(plan: Plan) -> dict[str, SplitName]:
    """Subject → its split."""
    samples = (outline(stowed) for shard in plan.shards for stowed in shard.stowed)
    return {sample.subject: sample.split for sample in samples if sample.subject}


def _crossing(planned: Mapping[str, SplitName], others: Iterable[tuple[str, str]]) -> set[str]:
    return {subject for subject, split in others if planned.get(subject, split) != split}


def _splits(store: Store, manifest: Manifest) -> Iterable[tuple[str, str]]:
    """The distinct pairs of subject and split."""
    for file in manifest.index:
        data = store.read(object_path(manifest.dataset, file.path))
        rows = index.decode(data, url=f"{store.url}/{file.path}").select(["subject", "split"])
        plain = pa.table({name: rows.column(name).cast(pa.string()) for name in rows.column_names})
        pairs = plain.group_by(["subject", "split"]).aggregate([])
        yield from zip(pairs["subject"].to_pylist(), pairs["split"].to_pylist(), strict=True)
