"""Datasets that share patients: nobody may be in one split here and in another there."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from ropeway import index
from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound, SourceError
from ropeway.manifest import Manifest, SplitName, object_path
from ropeway.stores import Store
from ropeway_shardgen.plan import Plan

_TOLD = 3


def check_shared_subjects(plan: Plan, store: Store) -> None:
    """Hold the planned splits against those of the store's datasets that name the same namespace.

    Pseudonyms made with different keys cannot be compared, so such datasets say nothing of each other.

    Raises:
        SourceError: a subject would be in different splits, and neither recipe says why the official ones do that.
    """
    recipe = plan.recipe
    if recipe.subject is None or not recipe.subject.namespace or recipe.split_leaks:
        return
    planned: dict[str, SplitName] = {
        sample.subject: sample.split for shard in plan.shards for sample in shard.samples if sample.subject
    }
    for other in _datasets(store):
        told = other.provenance
        if other.dataset == recipe.id or told.namespace != recipe.namespace or told.leaks:
            continue
        if told.parameters.get("pseudonyms") != plan.parameters["pseudonyms"]:
            continue
        crossing = sorted(_crossing(planned, _splits(store, other)))
        if crossing:
            raise SourceError(
                f"{len(crossing)} subjects are in another split of {other.dataset}@{other.version}, which has the same "
                f"patients, such as {', '.join(crossing[:_TOLD])}: give both one split rule, or say under split.leaks "
                "why not",
                dataset=recipe.id,
            )


def _datasets(store: Store) -> list[Manifest]:
    try:
        return StoreCatalog(store).current()
    except NotFound:  # a folder that this pack is about to make
        return []


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
