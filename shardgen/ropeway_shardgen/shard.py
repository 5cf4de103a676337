"""Packing one shard: a pure function of its plan, the recipe and the raw files. Memory is that of one sample."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ropeway import index, tar
from ropeway.checksum import crc32c
from ropeway.errors import RopewayError
from ropeway.index import Row
from ropeway.manifest import Part, object_path
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.plan import PlannedSample, PlannedShard
from ropeway_shardgen.problems import OnError, SampleError
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.sidecar import ShardSummary
from ropeway_shardgen.source import one_line
from ropeway_shardgen.values import late_meta

Advance: TypeAlias = Callable[[int, int], None]
"""Told of progress: so many more samples, so many more bytes."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """All that a worker needs to pack one shard, on this host or another. Picklable."""

    recipe: Recipe
    version: str
    root: Path
    store: Store
    on_error: OnError
    shard: PlannedShard


@dataclass(slots=True)
class _Written:
    """A shard while it is written."""

    file: BinaryIO
    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    rows: list[Row] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def write(self, blocks: bytes) -> None:
        self.file.write(blocks)
        self.digest.update(blocks)
        self.size += len(blocks)


def pack_shard(task: ShardTask, advance: Advance) -> ShardSummary:
    """Write a shard and then its sidecar to the store.

    Raises:
        SampleError: a sample cannot be read, and the policy is to raise.
        StoreError: the store does not take it.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix="ropeway-", suffix=".tar") as file:
            written = _Written(file)  # type: ignore[arg-type]
            for sample in task.shard.samples:
                _add(task, sample, written)
                advance(1, sample.size)
            written.write(tar.END)
            file.flush()
            if written.rows:
                path = object_path(task.recipe.id, f"{task.version}/{task.shard.name}")
                task.store.put(path, Path(file.name))
    finally:
        close_all()
    summary = ShardSummary(
        name=task.shard.name,
        split=task.shard.split,
        bytes=written.size,
        samples=len(written.rows),
        sha256=written.digest.hexdigest(),
        parts=tuple(written.parts[name] for name in task.recipe.parts if name in written.parts),
        skipped=dict(sorted(written.skipped.items())),
    )
    columns = {name: rule.type for name, rule in task.recipe.meta.items()}
    schema = index.schema(task.recipe.parts, task.recipe.manifest_tasks, columns)
    place = sidecar.path(task.recipe.id, task.version, task.shard.name)
    sidecar.write(task.store, place, summary, index.table(written.rows, schema))
    return summary


def _add(task: ShardTask, sample: PlannedSample, written: _Written) -> None:
    try:
        payloads = {part: _read(task, sample, part, path) for part, path in sample.files.items()}
        found = {part: payload.fields for part, payload in payloads.items()}
        meta = {**sample.meta, **late_meta(task.recipe, found, sample.key)}
    except SampleError as error:
        if task.on_error == "raise":
            raise
        written.skipped[error.reason] += 1
        return
    contents = [(part, payload.format, payload.content) for part, payload in payloads.items()]
    blocks, spans = tar.encode_sample(sample.key, contents, written.size)
    written.rows.append(
        Row(
            key=sample.key,
            shard=f"{task.version}/{task.shard.name}",
            span=spans.span,
            crc32c=crc32c(blocks),
            split=sample.split,
            subject=sample.subject,
            parts=spans.parts,
            labels=sample.labels,
            meta=meta,
        )
    )
    for part, payload in payloads.items():
        own = sidecar.part_of(part, task.recipe.parts[part], payload)
        written.parts[part] = sidecar.merged(written.parts.get(part), own)
    written.write(blocks)


def _read(task: ShardTask, sample: PlannedSample, part: str, path: str) -> Payload:
    """Read one part. Whatever a format's library raises becomes a SampleError that names the file."""
    adapter, options = task.recipe.readers[part]
    place = path or f"part {part}"
    try:
        payload: Payload = adapter.read(task.root / path, sample.fields, options)
    except SampleError as error:
        raise SampleError(
            f"{place}: {error.args[0]}", reason=error.reason, dataset=task.recipe.id, key=sample.key
        ) from error
    except RopewayError:
        raise
    except FileNotFoundError as error:
        raise SampleError(
            f"raw file missing: {path}", reason="missing file", dataset=task.recipe.id, key=sample.key
        ) from error
    except Exception as error:
        problem = f"raw file cannot be read: {place}: {one_line(error)}"
        raise SampleError(problem, reason="unreadable file", dataset=task.recipe.id, key=sample.key) from error
    return payload
