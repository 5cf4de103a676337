"""Small published datasets for tests of order and streaming: written with the format's own functions, no packer."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np

from ropeway import index, tar
from ropeway import manifest as m
from ropeway.stores import Store

VERSION = "0123456789ab"
CLASSES = ("a", "b", "c")
TASK = m.Task(id="cls", type="multiclass", classes=CLASSES)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def publish(
    store: Store,
    dataset: str = "d",
    *,
    samples: int = 100,
    per_shard: int = 40,
    shape: tuple[int, ...] = (3, 5),
    lacks: Sequence[int] = (),
) -> None:
    """A dataset of `samples` train samples `k000000` …: sample i has the class i mod 3, the
    subject i div 7, the age i mod 90; part `x`, an int16 array filled with i mod 2¹⁵; and part `note`, text, unless i
    is in `lacks`."""
    schema = index.schema(["x", "note"], [TASK], {"age": "integer"})
    shards, tables = [], []
    for first in range(0, samples, per_shard):
        name = f"{VERSION}/train-{first // per_shard:06d}.tar"
        content, rows = _shard(name, range(first, min(samples, first + per_shard)), shape, lacks)
        store.put(f"{dataset}/{name}", content)
        digest = hashlib.sha256(content).hexdigest()
        shards.append(m.Shard(path=name, split="train", bytes=len(content), samples=len(rows), sha256=digest))
        tables.append(index.table(rows, schema))
    table = index.encode(tables)
    path = f"{VERSION}/index/00000.parquet"
    store.put(f"{dataset}/{path}", table)
    size = sum(shard.bytes for shard in shards)
    manifest = m.Manifest(
        format=m.FORMAT,
        dataset=dataset,
        version=VERSION,
        card=m.Card(title=dataset, domain="ECG", modalities=("ecg",), licence="CC0", access="open", unit="window"),
        parts=(
            m.Part(name="x", kind="signal", format="npy", dtype="<i2", shape=shape, samples=samples),
            m.Part(name="note", kind="text", format="txt", samples=samples - len(lacks)),
        ),
        tasks=(TASK,),
        splits=(m.Split(name="train", samples=samples, subjects=-(-samples // 7), bytes=size, shards=len(shards)),),
        shards=tuple(shards),
        index=(m.IndexFile(path=path, rows=samples, bytes=len(table), sha256=hashlib.sha256(table).hexdigest()),),
        provenance=m.Provenance(
            recipe=dataset, parameters={}, software="0", source="0" * 64, source_files=1, source_bytes=1
        ),
    )
    store.create(m.manifest_path(dataset, VERSION), m.dumps(manifest))
    store.put(m.latest_path(dataset), m.dumps(m.Latest(version=VERSION, history=(VERSION,))))


def _shard(name: str, numbers: range, shape: tuple[int, ...], lacks: Sequence[int]) -> tuple[bytes, list[index.Row]]:
    pieces: list[bytes] = []
    rows = []
    at = 0
    for i in numbers:
        parts = [("x", "npy", npy(np.full(shape, i % (1 << 15), "<i2")))]
        if i not in lacks:
            parts.append(("note", "txt", f"sample {i}".encode()))
        blocks, where = tar.encode_sample(f"k{i:06d}", parts, at)
        at += len(blocks)
        pieces.append(blocks)
        row = index.Row(
            key=f"k{i:06d}", shard=name, span=where.span, crc32c=google_crc32c.value(blocks), split="train",
            subject=f"s{i // 7}", parts=where.parts, labels={"cls": i % 3}, meta={"age": i % 90},
        )  # fmt: skip
        rows.append(row)
    return b"".join(pieces) + tar.END, rows
