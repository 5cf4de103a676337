"""Published datasets of rows alone: the index is real, the shards it names are not there. For tests of queries."""

import hashlib
from collections.abc import Mapping, Sequence

from ropeway import index
from ropeway import manifest as m
from ropeway.index import Label, Row, Value
from ropeway.stores import Store
from ropeway.tar import Span

VERSION = "0123456789ab"
SIZE = 1024


def row(
    number: int,
    *,
    split: str = "train",
    subject: str | None = None,
    parts: Sequence[str] = ("x",),
    labels: Mapping[str, Label] | None = None,
    meta: Mapping[str, Value] | None = None,
) -> Row:
    """The row of sample `k<number>`, which lies at `number` × SIZE of its split's only shard."""
    start = number * SIZE
    return Row(
        key=f"k{number}",
        shard=f"{VERSION}/{split}-000000.tar",
        span=Span(start, SIZE),
        crc32c=number,
        split=split,
        subject=subject,
        parts={part: Span(start + 512, 100 + number) for part in parts},
        labels=labels or {},
        meta=meta or {},
    )


def publish(
    store: Store,
    dataset: str,
    rows: Sequence[Row],
    *,
    version: str = VERSION,
    parts: Sequence[str] = ("x",),
    tasks: Sequence[m.Task] = (),
    meta: Mapping[str, str] | None = None,
    domain: str = "ECG",
    modalities: Sequence[str] = ("ecg",),
) -> m.Manifest:
    """Publish a version of a dataset with these rows, sorted by split, and make it the current one."""
    schema = index.schema(parts, tasks, meta or {})
    shards, splits, tables = [], [], []
    for split in m.SPLITS:
        here = [r for r in rows if r.split == split]
        if here:
            path = here[0].shard
            shards.append(m.Shard(path=path, split=split, bytes=1 << 20, samples=len(here), sha256="0" * 64))
            subjects = len({r.subject for r in here if r.subject is not None})
            splits.append(m.Split(name=split, samples=len(here), subjects=subjects, bytes=1 << 20, shards=1))
            tables.append(index.table(here, schema))
    data = index.encode(tables)
    path = f"{version}/index/00000.parquet"
    store.put(f"{dataset}/{path}", data)
    manifest = m.Manifest(
        format=m.FORMAT,
        dataset=dataset,
        version=version,
        card=m.Card(
            title=dataset, domain=domain, modalities=tuple(modalities), licence="CC0", access="open", unit="window"
        ),
        parts=tuple(
            m.Part(name=name, kind="signal", format="npy", samples=sum(name in r.parts for r in rows)) for name in parts
        ),
        tasks=tuple(tasks),
        splits=tuple(splits),
        shards=tuple(shards),
        index=(m.IndexFile(path=path, rows=len(rows), bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),),
        provenance=m.Provenance(
            recipe=dataset, parameters={}, software="0", source="0" * 64, source_files=1, source_bytes=1
        ),
    )
    store.put(m.manifest_path(dataset, version), m.dumps(manifest))
    store.put(m.latest_path(dataset), m.dumps(m.Latest(version=version, history=(version,))))
    return manifest
