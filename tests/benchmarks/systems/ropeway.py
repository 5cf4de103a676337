"""Ropeway: packed tars and their index, through its own loader; checksums on, no worker process."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import ropeway
import ropeway.catalog  # what `connect` imports at its first use, as the next: imports are not measured
import ropeway.stores.objects
from benchmarks.batches import Batch
from benchmarks.places import Place
from benchmarks.systems import SEED, SHARD_BYTES, Stream
from benchmarks.workloads import WANTED, Part, Sample, Workload
from ropeway import index, tar
from ropeway import manifest as m
from ropeway.checksum import crc32c
from ropeway.loader import StreamingLoader
from ropeway.stores import Store, open_store
from ropeway.view import View

VERSION = "0123456789ab"
_FORMATS = {"array": "npy", "picture": "jpg", "text": "txt"}
_KINDS: dict[str, m.Kind] = {"array": "signal", "picture": "image", "text": "text"}


def write(work: Workload, folder: Path) -> None:
    """Publish the workload with the format's own functions, as the packer would."""
    store = open_store(folder)
    tasks = [m.Task(id=name, type="multiclass", classes=_classes(work)) for name in work.label_names]
    schema = index.schema([part.name for part in work.parts], tasks, dict.fromkeys(work.label_names, "integer"))
    shards, tables = [], []
    for number, samples in enumerate(_cut(work)):
        path = f"{VERSION}/train-{number:06d}.tar"
        content, rows = _shard(work, path, samples)
        store.put(f"{work.dataset}/{path}", content)
        digest = hashlib.sha256(content).hexdigest()
        shards.append(m.Shard(path=path, split="train", bytes=len(content), samples=len(rows), sha256=digest))
        tables.append(index.table(rows, schema))
    encoded = index.encode(tables)
    _publish(store, work, shards, tasks, encoded)


def open_view(work: Workload, place: Place) -> View:
    """The view that a workload streams: all, or where its label says."""
    catalog = ropeway.connect(str(place.folder) if place.url is None else place.url)
    return catalog.query(task=work.label, where=None if work.keep is None else f"{work.keep} = {WANTED}")


def open_loader(work: Workload, view: View) -> StreamingLoader:
    """The loader as a user would make it: nothing is tuned."""
    return StreamingLoader(view, work.batch, seed=SEED, parts=[part.name for part in work.parts])


def open_stream(work: Workload, place: Place, workers: int) -> Stream:
    return stream_of(work, open_view(work, place))


def stream_of(work: Workload, view: View) -> Stream:
    """The batches of a view, its task's label as `label`."""
    loader = open_loader(work, view)

    def epoch() -> Iterator[Batch]:
        for batch in loader:
            batch["label"] = batch[f"task.{work.label}"]
            yield batch

    return Stream(
        epoch,
        state=lambda: json.dumps(loader.state_dict()).encode(),
        restore=lambda saved: loader.load_state_dict(json.loads(saved)),
    )


def _classes(work: Workload) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(work.classes))


def _cut(work: Workload) -> Iterator[list[Sample]]:
    per_shard = max(1, int(SHARD_BYTES / work.sample_bytes))
    waiting: list[Sample] = []
    for sample in work:
        waiting.append(sample)
        if len(waiting) == per_shard or sample.number == work.samples - 1:
            yield waiting
            waiting = []


def _shard(work: Workload, path: str, samples: list[Sample]) -> tuple[bytes, list[index.Row]]:
    formats = {part.name: _FORMATS[part.kind] for part in work.parts}
    pieces, rows, at = list[bytes](), list[index.Row](), 0
    for sample in samples:
        parts = [
            (name, formats[name], part if isinstance(part, bytes) else _npy(part))
            for name, part in sample.parts.items()
        ]
        blocks, where = tar.encode_sample(sample.key, parts, at)
        row = index.Row(
            key=sample.key, shard=path, span=where.span, crc32c=crc32c(blocks), split="train",
            subject=sample.key, parts=where.parts, labels=sample.labels, meta=sample.labels,
        )  # fmt: skip
        pieces.append(blocks)
        rows.append(row)
        at += len(blocks)
    return b"".join(pieces) + tar.END, rows


def _npy(array: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _publish(store: Store, work: Workload, shards: list[m.Shard], tasks: list[m.Task], table: bytes) -> None:
    path = f"{VERSION}/index/00000.parquet"
    store.put(f"{work.dataset}/{path}", table)
    size = sum(shard.bytes for shard in shards)
    manifest = m.Manifest(
        format=m.FORMAT,
        dataset=work.dataset,
        version=VERSION,
        card=m.Card(title=work.title, domain="bench", modalities=("bench",), licence="CC0-1.0", access="open",
                    unit="sample"),
        parts=tuple(_part(part, work) for part in work.parts),
        tasks=tuple(tasks),
        splits=(m.Split(name="train", samples=work.samples, subjects=work.samples, bytes=size, shards=len(shards)),),
        shards=tuple(shards),
        index=(m.IndexFile(path=path, rows=work.samples, bytes=len(table), sha256=hashlib.sha256(table).hexdigest()),),
        provenance=m.Provenance(
            recipe=work.dataset, parameters={}, software="0", source="0" * 64, source_files=1, source_bytes=1
        ),
    )  # fmt: skip
    store.create(m.manifest_path(work.dataset, VERSION), m.dumps(manifest))
    store.put(m.latest_path(work.dataset), m.dumps(m.Latest(version=VERSION, history=(VERSION,))))


def _part(part: Part, work: Workload) -> m.Part:
    there = sum(not part.lacks(number) for number in range(work.samples))
    return m.Part(
        name=part.name, kind=_KINDS[part.kind], format=_FORMATS[part.kind],
        dtype="<i2" if part.kind == "array" else None, shape=part.shape or None, samples=there,
    )  # fmt: skip
