"""Publishing: sidecars become the index, then the manifest appears, then `latest.json` points at it.

Each step may be repeated and raced. Whoever creates the manifest first has published; everybody else finds the same
version there.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa

from ropeway import manifest, manifest_reading
from ropeway.errors import AlreadyExists, NotFound, SourceError
from ropeway.index_files import write_index
from ropeway.manifest import SPLITS, Manifest, Part, Provenance, Split, SplitName
from ropeway.publishing import point_latest, published, software
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.plan import Plan
from ropeway_shardgen.sidecar import ShardSummary


def publish(plan: Plan, store: Store) -> Manifest:
    """Publish a version whose shards are all finished. Returns the manifest that is there now.

    Raises:
        SourceError: every sample was left out.
    """
    dataset = plan.recipe.id
    try:
        content = manifest.dumps(_build(plan, store))
        store.create(manifest.manifest_path(dataset, plan.version), content)
    except (AlreadyExists, NotFound):
        # NotFound: another packer of the same input published, and has cleared the sidecars away.
        if published(store, dataset, plan.version) is None:
            raise
    point_latest(store, dataset, plan.version)
    clear(store, dataset, plan.version)
    there = published(store, dataset, plan.version)
    assert there is not None
    return there


def clear(store: Store, dataset: str, version: str) -> None:
    """Remove the sidecars of a published version."""
    for stat in list(store.objects(sidecar.folder(dataset, version))):
        store.delete(stat.path)


def _build(plan: Plan, store: Store) -> Manifest:
    recipe = plan.recipe
    summaries: list[ShardSummary] = []
    people = _People()
    index_files = tuple(write_index(store, recipe.id, plan.version, _rows(plan, store, summaries, people)))
    skipped = Counter(plan.skipped)
    for summary in summaries:
        skipped.update(summary.skipped)
    summaries = [summary for summary in summaries if summary.samples]
    if not summaries:
        raise SourceError(
            f"every sample was left out: {', '.join(f'{n} {reason}' for reason, n in skipped.items())}",
            dataset=recipe.id,
        )
    found = Manifest(
        format=manifest.FORMAT,
        dataset=recipe.id,
        version=plan.version,
        card=recipe.card,
        parts=_parts(plan, summaries),
        tasks=recipe.manifest_tasks,
        splits=tuple(_splits(summaries, people)),
        shards=tuple(summary.as_shard(plan.version) for summary in summaries),
        index=index_files,
        provenance=Provenance(
            recipe=recipe.id,
            parameters=plan.parameters,
            software=software(),
            namespace=recipe.namespace if recipe.subject else "",
            leaks=recipe.split_leaks,
            source=plan.source,
            source_files=plan.source_files,
            source_bytes=plan.source_bytes,
            skipped=dict(sorted(skipped.items())),
        ),
    )
    manifest_reading.check(found)
    return found


def _parts(plan: Plan, summaries: Sequence[ShardSummary]) -> tuple[Part, ...]:
    parts: dict[str, Part] = {}
    for summary in summaries:
        for part in summary.parts:
            before = parts.get(part.name)
            parts[part.name] = part if before is None else sidecar.merged(before, part)
    return tuple(
        parts.get(name, Part(name=name, kind=rule.kind, format="")) for name, rule in plan.recipe.parts.items()
    )


class _People:
    """Who is in each split: the distinct subjects and studies."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], set[str]] = {}

    def add(self, split: SplitName, rows: pa.Table) -> None:
        """Count in the index rows of a shard."""
        for column in ("subject", "meta.study"):
            if column in rows.column_names:
                known = self._found.setdefault((split, column), set())
                known.update(rows.column(column).drop_null().unique().to_pylist())

    def count(self, split: SplitName, column: str) -> int:
        """How many there are in a split."""
        return len(self._found.get((split, column), ()))


def _rows(plan: Plan, store: Store, summaries: list[ShardSummary], people: _People) -> Iterator[pa.Table]:
    """The index rows of each shard in turn, while the summaries and each split's subjects and studies are gathered."""
    places = [sidecar.path(plan.recipe.id, plan.version, shard.name) for shard in plan.shards]
    for summary, rows in sidecar.read_all(store, places):
        summaries.append(summary)
        if summary.samples:
            people.add(summary.split, rows)
            yield rows


def _splits(summaries: Sequence[ShardSummary], people: _People) -> Iterator[Split]:
    for name in SPLITS:
        own = [summary for summary in summaries if summary.split == name]
        if own:
            yield Split(
                name=name,
                samples=sum(summary.samples for summary in own),
                subjects=people.count(name, "subject"),
                studies=people.count(name, "meta.study"),
                bytes=sum(summary.bytes for summary in own),
                shards=len(own),
            )
