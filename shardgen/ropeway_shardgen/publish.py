"""Publishing: sidecars become the index, then the manifest appears, then `latest.json` points at it.

Each step may be repeated and raced. Whoever creates the manifest first has published; everybody else finds the same
version there.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import pyarrow as pa

from ropeway import index, manifest
from ropeway.errors import AlreadyExists, Conflict, NotFound, SourceError
from ropeway.manifest import SPLITS, IndexFile, Latest, Manifest, Part, Provenance, Split
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.plan import Plan
from ropeway_shardgen.sidecar import ShardSummary

_ROWS_PER_FILE = 1_000_000


def published(store: Store, dataset: str, version: str) -> Manifest | None:
    """The manifest of a version, if it has one."""
    path = manifest.manifest_path(dataset, version)
    try:
        data, _ = store.load(path)
    except NotFound:
        return None
    return manifest.loads(data, url=f"{store.url}/{path}")


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


def point_latest(store: Store, dataset: str, version: str) -> Latest:
    """Make a new version the current one, whoever else does the same meanwhile.

    A version that is already in the history is left where it is: a later one may exist because something was withdrawn.
    """
    path = manifest.latest_path(dataset)
    while True:
        try:
            data, tag = store.load(path)
        except NotFound:
            first = Latest(version=version, history=(version,))
            try:
                store.create(path, manifest.dumps(first))
            except AlreadyExists:
                continue
            return first
        latest = manifest.loads_latest(data, url=f"{store.url}/{path}")
        if version in latest.history:
            return latest
        later = Latest(version=version, history=(*latest.history, version))
        try:
            store.swap(path, manifest.dumps(later), tag)
        except Conflict:
            continue
        return later


def clear(store: Store, dataset: str, version: str) -> None:
    """Remove the sidecars of a published version."""
    for stat in list(store.objects(sidecar.folder(dataset, version))):
        store.delete(stat.path)


def _build(plan: Plan, store: Store) -> Manifest:
    recipe = plan.recipe
    summaries: list[ShardSummary] = []
    subjects: dict[str, set[str | None]] = {}
    index_files = tuple(_write_index(plan, store, _rows(plan, store, summaries, subjects)))
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
        splits=tuple(_splits(summaries, subjects)),
        shards=tuple(summary.as_shard(plan.version) for summary in summaries),
        index=index_files,
        provenance=Provenance(
            recipe=recipe.id,
            parameters=plan.parameters,
            software=software(),
            source=plan.source,
            source_files=plan.source_files,
            source_bytes=plan.source_bytes,
            skipped=dict(sorted(skipped.items())),
        ),
    )
    manifest.check(found)
    return found


def _parts(plan: Plan, summaries: Sequence[ShardSummary]) -> tuple[Part, ...]:
    parts: dict[str, Part] = {}
    for summary in summaries:
        for part in summary.parts:
            parts[part.name] = sidecar.merged(parts.get(part.name), part)
    return tuple(
        parts.get(name, Part(name=name, kind=rule.kind, format="")) for name, rule in plan.recipe.parts.items()
    )


def _rows(
    plan: Plan, store: Store, summaries: list[ShardSummary], subjects: dict[str, set[str | None]]
) -> Iterator[pa.Table]:
    """The index rows of each shard in turn, while the summaries and each split's subjects are gathered."""
    for shard in plan.shards:
        summary, rows = sidecar.read(store, sidecar.path(plan.recipe.id, plan.version, shard.name))
        summaries.append(summary)
        if summary.samples:
            subjects.setdefault(summary.split, set()).update(rows.column("subject").unique().to_pylist())
            yield rows


def _splits(summaries: Sequence[ShardSummary], subjects: Mapping[str, set[str | None]]) -> Iterator[Split]:
    for name in SPLITS:
        own = [summary for summary in summaries if summary.split == name]
        if own:
            yield Split(
                name=name,
                samples=sum(summary.samples for summary in own),
                subjects=len(subjects[name] - {None}),
                bytes=sum(summary.bytes for summary in own),
                shards=len(own),
            )


def _write_index(plan: Plan, store: Store, tables: Iterator[pa.Table]) -> Iterator[IndexFile]:
    """Index files of about a million rows, a row group per shard."""
    for number, own in enumerate(_runs(tables)):
        path = f"{plan.version}/index/{number:05d}.parquet"
        data = _put_index(store, manifest.object_path(plan.recipe.id, path), own)
        rows = sum(len(table) for table in own)
        yield IndexFile(path=path, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _runs(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    run: list[pa.Table] = []
    for table in tables:
        run.append(table)
        if sum(len(rows) for rows in run) >= _ROWS_PER_FILE:
            yield run
            run = []
    if run:
        yield run


def _put_index(store: Store, path: str, tables: Sequence[pa.Table]) -> bytes:
    """Write an index file, unless the same rows are there already, perhaps written by another Arrow release."""
    data = index.encode(tables)
    try:
        store.create(path, data)
    except AlreadyExists:
        there, _ = store.load(path)
        if there == data or index.decode(there).equals(index.decode(data)):
            return there
        store.put(path, data)
    return data


def software() -> str:
    """Name and version of this software."""
    try:
        return f"ropeway {installed('ropeway')}"
    except PackageNotFoundError:
        return "ropeway"
