"""Packing one shard: a pure function of its plan, the recipe and the raw files. Memory is that of one sample."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from ropeway import index, tar
from ropeway.checksum import crc32c
from ropeway.content import compared, content_number
from ropeway.errors import RopewayError
from ropeway.index import Row, Value
from ropeway.manifest import Kind, Part, object_path
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.planned import PlannedSample, PlannedShard
from ropeway_shardgen.problems import OnError, SampleError, one_line
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.sidecar import ShardSummary
from ropeway_shardgen.values import late_meta

Advance: TypeAlias = Callable[[int, int], None]
"""Told of progress: so many more samples, so many more bytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of a pack have in common: with a shard's plan, all that a worker needs. Picklable."""

    recipe: Recipe
    version: str
    root: Path
    store: Store
    on_error: OnError


@dataclass(slots=True)
class _Written:
    """What is known of a shard while it is written. `compared`: the parts that content numbers are made of."""

    path: str
    compared: Mapping[str, Kind]
    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    rows: list[Row] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


def pack_shard(job: Job, shard: PlannedShard, advance: Advance) -> ShardSummary:
    """Write a shard and then its sidecar to the store.

    Raises:
        SampleError: a sample cannot be read, and the policy is to raise.
        StoreError: the store does not take it.
    """
    kinds: dict[str, Kind] = {name: part.kind for name, part in job.recipe.parts.items()}
    written = _Written(f"{job.version}/{shard.name}", compared(kinds, job.recipe.manifest_tasks))
    blocks = _blocks(job, shard, written, advance)
    try:
        if (first := next(blocks, None)) is not None:
            with job.store.writing(object_path(job.recipe.id, written.path)) as file:
                for some in chain([first], blocks, [tar.END]):
                    file.write(some)
                    written.digest.update(some)
                    written.size += len(some)
    finally:
        close_all()
    summary = ShardSummary(
        name=shard.name,
        split=shard.split,
        bytes=written.size,
        samples=len(written.rows),
        sha256=written.digest.hexdigest(),
        parts=tuple(written.parts[name] for name in job.recipe.parts if name in written.parts),
        skipped=dict(sorted(written.skipped.items())),
    )
    schema = index.schema(job.recipe.parts, job.recipe.manifest_tasks, job.recipe.columns)
    place = sidecar.path(job.recipe.id, job.version, shard.name)
    sidecar.write(job.store, place, summary, index.table(written.rows, schema))
    return summary


def _blocks(job: Job, shard: PlannedShard, written: _Written, advance: Advance) -> Iterator[bytes]:
    """The tar blocks of each sample that can be read."""
    for sample in shard.samples:
        try:
            payloads = {part: _read(job, sample, part, path) for part, path in sample.files.items()}
            found = {part: payload.fields for part, payload in payloads.items()}
            meta = {**sample.meta, **late_meta(job.recipe, found, sample.key)}
        except SampleError as error:
            if job.on_error == "raise":
                raise
            written.skipped[error.reason] += 1
        else:
            yield _add(job, sample, payloads, meta, written)
        advance(1, sample.size)


def _add(
    job: Job, sample: PlannedSample, payloads: Mapping[str, Payload], meta: Mapping[str, Value], written: _Written
) -> bytes:
    """The tar blocks of a sample, of which note is taken."""
    contents = [(part, payload.format, payload.content) for part, payload in payloads.items()]
    blocks, spans = tar.encode_sample(sample.key, contents, written.size)
    written.rows.append(
        Row(
            key=sample.key,
            shard=written.path,
            span=spans.span,
            crc32c=crc32c(blocks),
            split=sample.split,
            subject=sample.subject,
            parts=spans.parts,
            content=content_number({part: content for part, _, content in contents}, written.compared),
            labels=sample.labels,
            meta=meta,
        )
    )
    for part, payload in payloads.items():
        own = sidecar.part_of(part, job.recipe.parts[part], payload)
        written.parts[part] = sidecar.merged(written.parts.get(part), own)
    return blocks


def _read(job: Job, sample: PlannedSample, part: str, path: str) -> Payload:
    """Read one part. Whatever a format's library raises becomes a SampleError that names the file."""
    adapter, options = job.recipe.readers[part]
    place = path or f"part {part}"
    try:
        payload: Payload = adapter.read(job.root / path, sample.fields, options)
    except SampleError as error:
        raise SampleError(
            f"{place}: {error.args[0]}", reason=error.reason, dataset=job.recipe.id, key=sample.key
        ) from error
    except RopewayError:
        raise
    except FileNotFoundError as error:
        raise SampleError(
            f"raw file missing: {path}", reason="missing file", dataset=job.recipe.id, key=sample.key
        ) from error
    except Exception as error:
        problem = f"raw file cannot be read: {place}: {one_line(error)}"
        raise SampleError(problem, reason="unreadable file", dataset=job.recipe.id, key=sample.key) from error
    return payload
