"""Tiny published datasets with everything a dataset can have: splits, shards, tasks and metadata of each type, missing
parts, keys with slashes and escapes. Written with the format's own functions, no packer.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import google_crc32c

from ropeway import index, tar
from ropeway import manifest as m
from ropeway.index import Label, Row, Value
from ropeway.manifest import SplitName
from ropeway.stores import Store

VERSION = "0123456789ab"
TASKS = (
    m.Task(id="sick", type="binary", classes=("no", "yes")),
    m.Task(id="rhythm", type="multiclass", classes=("sinus", "afib", "flutter")),
    m.Task(id="findings", type="multilabel", classes=("MI", "STTC", "CD")),
    m.Task(id="dose", type="regression", units="mg"),
)
META = {"age": "integer", "weight": "number", "sex": "string", "smoker": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample to be packed; `parts` maps a part's name to its format and content."""

    key: str
    parts: Mapping[str, tuple[str, bytes]]
    split: SplitName = "train"
    subject: str | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)
    meta: Mapping[str, Value] = field(default_factory=dict)


def samples(count: int = 60) -> list[Sample]:
    """Sample i is of subject i div 3 and age i; two thirds are `train`, the rest `valid` and `test`.

    Every fifth lacks the part `note`, every seventh is unlabelled, every eleventh has no metadata.
    """
    splits: Sequence[SplitName] = ("train", "train", "train", "train", "valid", "test")
    return [_sample(i, splits[6 * i // count]) for i in range(count)]


def _sample(i: int, split: SplitName) -> Sample:
    parts = {"scan": ("bin", bytes([i % 256]) * (50 + i)), "note": ("txt", f"note {i}".encode())}
    labels: dict[str, Label] = {
        "sick": i % 2, "rhythm": i % 3, "findings": [k for k in range(3) if i >> k & 1], "dose": i / 4,
    }  # fmt: skip
    meta: dict[str, Value] = {"age": i, "weight": 50 + i / 2, "sex": "FM"[i % 2], "smoker": i % 4 == 0}
    return Sample(
        key=f"site-{i % 2}/p%2E{i:04d}",
        parts={name: part for name, part in parts.items() if name != "note" or i % 5},
        split=split,
        subject=f"s{i // 3}",
        labels=labels if i % 7 else {},
        meta=meta if i % 11 else {},
    )


def build(
    store: Store,
    dataset: str = "tiny",
    content: Iterable[Sample] | None = None,
    *,
    version: str = VERSION,
    per_shard: int = 8,
    domain: str = "ECG",
    tasks: Sequence[m.Task] = TASKS,
    meta: Mapping[str, str] = META,
    namespace: str = "",
    access: m.Access = "open",
) -> m.Manifest:
    """Publish samples, which lie in order of their splits, as a dataset's current version."""
    given = sorted(samples() if content is None else content, key=lambda sample: m.SPLITS.index(sample.split))
    formats = {name: form for sample in given for name, (form, _) in sample.parts.items()}
    schema = index.schema(sorted(formats), tasks, meta)
    shards, tables = [], []
    for split, members in groupby(given, key=lambda sample: sample.split):
        here = list(members)
        for first in range(0, len(here), per_shard):
            path = f"{version}/{split}-{first // per_shard:06d}.tar"
            blocks, rows = _shard(path, here[first : first + per_shard])
            store.put(f"{dataset}/{path}", blocks)
            shards.append(m.Shard(path=path, split=split, bytes=len(blocks), samples=len(rows), sha256=_sha256(blocks)))
            tables.append(index.table(rows, schema))
    table, path = index.encode(tables), f"{version}/index/00000.parquet"
    store.put(f"{dataset}/{path}", table)
    manifest = m.Manifest(
        format=m.FORMAT,
        dataset=dataset,
        version=version,
        card=m.Card(title=dataset, domain=domain, modalities=("ecg",), licence="CC0", access=access, unit="window"),
        parts=tuple(_part(name, formats[name], given) for name in sorted(formats)),
        tasks=tuple(tasks),
        splits=tuple(_split(name, given, shards) for name in m.SPLITS if any(s.split == name for s in given)),
        shards=tuple(shards),
        index=(m.IndexFile(path=path, rows=len(given), bytes=len(table), sha256=_sha256(table)),),
        provenance=m.Provenance(
            recipe=dataset,
            parameters={},
            software="0",
            source="0" * 64,
            source_files=1,
            source_bytes=1,
            namespace=namespace,
        ),
    )
    store.create(m.manifest_path(dataset, version), m.dumps(manifest))
    store.put(m.latest_path(dataset), m.dumps(m.Latest(version=version, history=(version,))))
    return manifest


def _shard(path: str, few: Iterable[Sample]) -> tuple[bytes, list[Row]]:
    pieces, rows, at = list[bytes](), list[Row](), 0
    for sample in few:
        blocks, where = tar.encode_sample(sample.key, [(n, form, data) for n, (form, data) in sample.parts.items()], at)
        crc32c = google_crc32c.value(blocks)
        rows.append(
            Row(key=sample.key, shard=path, span=where.span, crc32c=crc32c, split=sample.split, subject=sample.subject,
                parts=where.parts, labels=sample.labels, meta=sample.meta)
        )  # fmt: skip
        pieces.append(blocks)
        at += len(blocks)
    return b"".join(pieces) + tar.END, rows


def _part(name: str, form: str, given: Sequence[Sample]) -> m.Part:
    kinds: Mapping[str, m.Kind] = {"txt": "text", "png": "image"}
    return m.Part(
        name=name, kind=kinds.get(form, "signal"), format=form, samples=sum(name in sample.parts for sample in given)
    )


def _split(name: SplitName, given: Sequence[Sample], shards: Sequence[m.Shard]) -> m.Split:
    here = [sample for sample in given if sample.split == name]
    mine = [shard for shard in shards if shard.split == name]
    return m.Split(name=name, samples=len(here), subjects=len({sample.subject for sample in here}),
                   bytes=sum(shard.bytes for shard in mine), shards=len(mine))  # fmt: skip


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
