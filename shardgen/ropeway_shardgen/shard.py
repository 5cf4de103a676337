"""Packing one shard: a pure function of its plan, the recipe and the raw files. Memory is that of two samples."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from ropeway import index, tar
from ropeway.buffers import reuse_freed
from ropeway.checksum import crc32c
from ropeway.content import compared, content_number
from ropeway.errors import RopewayError
from ropeway.index import Row, Value
from ropeway.manifest import Kind, object_path
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.adapters.whole import whole
from ropeway_shardgen.hashed_file import HashedFile
from ropeway_shardgen.keep_raw import LOST, holds_shared
from ropeway_shardgen.planned import PlannedSample, PlannedShard
from ropeway_shardgen.problems import OnError, SampleError, one_line
from ropeway_shardgen.reading import OneOfMany, rest
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.sidecar import Look, ShardSummary
from ropeway_shardgen.values import late_meta

Advance: TypeAlias = Callable[[int, int], None]
"""Told of progress: so many more samples, so many more bytes."""

_SMALL = 64 << 10
"""Bytes of a sample that is put together at once: a few calls for each of its pieces cost more."""
_ROWS = 1024
"""Rows of the index that are objects of Python at once: those that are kept make its search for garbage longer."""
_NOTHING = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of a pack have in common: with a shard's plan, all that a worker needs. Picklable."""

    recipe: Recipe
    version: str
    root: Path
    store: Store
    on_error: OnError


@dataclass(slots=True)
class _Known:
    """What is known of a shard while it is written. `compared`: the parts that content numbers are made of."""

    path: str
    compared: Mapping[str, Kind]
    schema: pa.Schema
    size: int = 0
    samples: int = 0
    looks: defaultdict[str, Counter[Look]] = field(default_factory=lambda: defaultdict(Counter))
    skipped: Counter[str] = field(default_factory=Counter)
    _rows: list[Row] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """One more sample of the shard."""
        self.samples += 1
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._tables.append(index.table(self._rows, self.schema))
            self._rows.clear()

    def table(self) -> pa.Table:
        """The index's rows of all samples."""
        return pa.concat_tables([*self._tables, index.table(self._rows, self.schema)])


class Written:
    """A shard whose bytes are written, and which the store does not have yet: that may take as long as the writing.

    Args:
        job, shard: what was packed.
        known: of it.
        digest: of its bytes.
        ending: puts the bytes into the store.
    """

    def __init__(self, job: Job, shard: PlannedShard, known: _Known, digest: str, ending: ExitStack) -> None:
        self._job, self._shard, self._known, self._digest, self._ending = job, shard, known, digest, ending

    def finish(self) -> ShardSummary:
        """Put the shard and then its sidecar into the store, once, from whichever thread.

        Raises:
            StoreError: the store does not take it.
        """
        self._ending.close()
        job, shard, known = self._job, self._shard, self._known
        summary = ShardSummary(
            name=shard.name,
            split=shard.split,
            bytes=known.size and known.size + len(tar.END),
            samples=known.samples,
            sha256=self._digest,
            parts=tuple(
                sidecar.part_of(name, rule, known.looks[name])
                for name, rule in job.recipe.parts.items()
                if name in known.looks
            ),
            skipped=dict(sorted(known.skipped.items())),
        )
        sidecar.write(job.store, sidecar.path(job.recipe.id, job.version, shard.name), summary, known.table())
        return summary


def pack_shard(job: Job, shard: PlannedShard, advance: Advance) -> ShardSummary:
    """Write a shard and then its sidecar to the store.

    Raises:
        SampleError: a sample cannot be read, and the policy is to raise.
        StoreError: the store does not take it.
    """
    return write_shard(job, shard, advance).finish()


def write_shard(job: Job, shard: PlannedShard, advance: Advance) -> Written:
    """The part of `pack_shard` that reads raw files; whoever calls it has to finish what it returns.

    Raises:
        SampleError: a sample cannot be read, and the policy is to raise.
        StoreError: the store does not take it.
    """
    kinds: dict[str, Kind] = {name: part.kind for name, part in job.recipe.parts.items()}
    schema = index.schema(job.recipe.parts, job.recipe.manifest_tasks, job.recipe.columns)
    known = _Known(f"{job.version}/{shard.name}", compared(kinds, job.recipe.manifest_tasks), schema)
    samples = _samples(job, shard, known, advance)
    digest = _NOTHING
    reuse_freed()  # a large sample's memory is the next one's
    with ExitStack() as ending:
        try:
            first = next(samples, None)
            rest()
            if first is not None:
                plain = ending.enter_context(job.store.writing(object_path(job.recipe.id, known.path)))
                with HashedFile(plain) as file:
                    for pieces in chain([first], samples, [[tar.END]]):
                        file.write(pieces)
                    digest = file.hexdigest()
        finally:
            rest()
            close_all()
        return Written(job, shard, known, digest, ending.pop_all())
    raise AssertionError  # nothing here swallows errors


def _samples(job: Job, shard: PlannedShard, known: _Known, advance: Advance) -> Iterator[list[bytes]]:
    """The tar blocks of each sample that can be read, in pieces."""
    root = str(job.root)
    for sample in shard.samples:
        try:
            payloads = {part: read_part(job.recipe, root, sample, part) for part in sample.files}
            meta = _meta(job.recipe, sample, payloads)
        except SampleError as error:
            if job.on_error == "raise":
                raise
            lost = LOST if holds_shared(job.recipe, sample) else ""
            known.skipped[f"{error.reason}{lost}"] += 1
        else:
            yield _add(sample, payloads, meta, known)
        advance(1, sample.size)


def _meta(recipe: Recipe, sample: PlannedSample, payloads: Mapping[str, Payload]) -> Mapping[str, Value]:
    """The metadata columns, with those that only the parts' files tell."""
    if not recipe.late:
        return sample.meta
    found = {part: payload.fields for part, payload in payloads.items()}
    return {**sample.meta, **late_meta(recipe, found, sample.key)}


def _add(
    sample: PlannedSample, payloads: Mapping[str, Payload], meta: Mapping[str, Value], known: _Known
) -> list[bytes]:
    """The tar blocks of a sample, of which note is taken, in pieces."""
    parts: list[tuple[str, str, bytes]] = []
    contents: dict[str, bytes] = {}
    for part, payload in payloads.items():
        contents[part] = content = payload.content
        parts.append((part, payload.format, content))
        known.looks[part][sidecar.look_of(payload)] += 1
    pieces, (span, spans) = tar.sample_pieces(sample.key, parts, known.size)
    if span.length < _SMALL:
        pieces = [b"".join(pieces)]
    known.size += span.length
    known.add(
        Row(
            key=sample.key,
            shard=known.path,
            span=span,
            crc32c=_checksum(pieces),
            split=sample.split,
            subject=sample.subject,
            parts=spans,
            content=content_number(contents, known.compared),
            labels=sample.labels,
            meta=meta,
        )
    )
    return pieces


def _checksum(pieces: list[bytes]) -> int:
    number = 0
    for piece in pieces:
        number = crc32c(piece, number)
    return number


def read_part(recipe: Recipe, root: str | Path, sample: PlannedSample, part: str) -> Payload:
    """Read one part of a sample from the raw folder.

    Raises:
        SampleError: it cannot be read. Whatever a format's library raises becomes one that names the file.
    """
    adapter, options = recipe.readers[part]
    path = sample.files[part]
    place = path or f"part {part}"
    try:
        with OneOfMany(place, sample.key):
            payload: Payload = (
                adapter.read(Path(root, path), sample.fields, options)
                if adapter.of_bytes is None
                else adapter.of_bytes(whole(f"{root}/{path}"), options)
            )
    except SampleError as error:
        raise SampleError(
            f"{place}: {error.args[0]}", reason=error.reason, dataset=recipe.id, key=sample.key
        ) from error
    except RopewayError:
        raise
    except FileNotFoundError as error:
        raise SampleError(
            f"raw file missing: {path}", reason="missing file", dataset=recipe.id, key=sample.key
        ) from error
    except Exception as error:
        problem = f"raw file cannot be read: {place}: {one_line(error)}"
        raise SampleError(problem, reason="unreadable file", dataset=recipe.id, key=sample.key) from error
    return payload
