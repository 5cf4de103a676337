"""Recomputes everything a published version claims: checksums, index against tars, totals, splits without leaks."""

import hashlib
import mmap
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import index, tar
from ropeway.checksum import crc32c
from ropeway.content import compared, content_number
from ropeway.errors import FormatError, NotFound, UsageError
from ropeway.manifest import NO_SHA256, Kind, Manifest, Shard, is_url, object_path
from ropeway.shard_bytes import StoreBytes
from ropeway.stored import copy, reader_of
from ropeway.stores import Store
from ropeway.tar import Span

MOST = 20
"""Problems kept per shard; their number is told all the same."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked, and what is wrong with it; an empty `problems` means sound.

    `unchecked` counts the samples that have no checksum: of those it is known only that they lie where the index says.
    """

    dataset: str
    version: str
    shards: int
    samples: int
    bytes: int
    unchecked: int
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Findings:
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str, **place: Any) -> None:
        self.problems.append(str(FormatError(problem, **place)))


def verify(store: Store, manifest: Manifest, advance: Callable[[int], None] = lambda _: None) -> Report:
    """Check one version of a dataset against its manifest.

    Args:
        store: where it lies.
        manifest: what it claims.
        advance: told the bytes of each piece read, for a progress bar.

    Raises:
        StoreError: the store can't be read; damaged or missing content is a problem in the report instead.
    """
    found = _Findings()
    rows = _index(store, manifest, found)
    if rows is not None:
        _keys(manifest, rows, found)
        _splits(manifest, rows, found)
        _counts(manifest, rows, found)
        _labels(manifest, rows, found)
        if not manifest.provenance.leaks:
            _leaks(manifest, rows, found)
    for shard, here in _by_shard(manifest, rows):
        _shard(store, manifest, shard, here, found, advance)
    return Report(
        manifest.dataset, manifest.version, len(manifest.shards), manifest.samples, manifest.bytes,
        0 if rows is None else rows.column("crc32c").null_count, tuple(found.problems),
    )  # fmt: skip


def _index(store: Store, manifest: Manifest, found: _Findings) -> pa.Table | None:
    tables = []
    for file in manifest.index:
        path = object_path(manifest.dataset, file.path)
        url = f"{store.url}/{path}"
        try:
            data = store.read(path)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                found.add("sha256 of the index file differs from the manifest's", url=url)
            rows = index.decode(data, url=url)
            if (len(rows), len(data)) != (file.rows, file.bytes):
                found.add(
                    f"the index file has {len(rows)} rows and {len(data)} bytes, "
                    f"the manifest says {file.rows} and {file.bytes}", url=url,
                )  # fmt: skip
            tables.append(rows)
        except (FormatError, NotFound) as error:
            found.problems.append(str(error))
    if len(tables) < len(manifest.index) or not tables:
        return None
    try:
        rows = pa.concat_tables(tables)
        index.check(rows, manifest)
    except (FormatError, pa.ArrowInvalid) as error:
        found.problems.append(str(error))
        return None
    return rows


def _keys(manifest: Manifest, rows: pa.Table, found: _Findings) -> None:
    for key, count in Counter(rows.column("key").to_pylist()).items():
        if count > 1:
            found.add(f"key is there {count} times", dataset=manifest.dataset, key=key)


def _splits(manifest: Manifest, rows: pa.Table, found: _Findings) -> None:
    names = rows.column("split").cast(pa.string())
    for split in manifest.splits:
        subjects = rows.column("subject").filter(pc.equal(names, split.name))
        for what, count, told in (
            ("index rows", len(subjects), split.samples),
            ("subjects", pc.count_distinct(subjects).as_py(), split.subjects),
        ):
            if count != told:
                found.add(f"split {split.name} has {count} {what}, the manifest says {told}", dataset=manifest.dataset)


def _counts(manifest: Manifest, rows: pa.Table, found: _Findings) -> None:
    """How many samples have each part."""
    for part in manifest.parts:
        count, told = len(rows) - rows.column(f"{part.name}.offset").null_count, part.samples
        if count != told:
            found.add(f"part {part.name}: {count} samples have it, the manifest says {told}", dataset=manifest.dataset)


def _labels(manifest: Manifest, rows: pa.Table, found: _Findings) -> None:
    """Labels are positions in their task's classes, or in a multilabel task what stands for an unknown one."""
    for task in (task for task in manifest.labelled if task.classes):
        labels, several = rows.column(f"task.{task.id}"), task.type == "multilabel"
        bounds = pc.min_max(pc.list_flatten(labels) if several else labels).as_py()
        lowest = -len(task.classes) if several else 0
        if bounds["min"] is not None and not lowest <= bounds["min"] <= bounds["max"] < len(task.classes):
            told = f"task {task.id} has a label outside its {len(task.classes)} classes"
            found.add(told, dataset=manifest.dataset)


def _leaks(manifest: Manifest, rows: pa.Table, found: _Findings) -> None:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for subject, split in zip(rows.column("subject").to_pylist(), rows.column("split").to_pylist(), strict=True):
        if subject is not None:
            splits[subject].add(split)
    for subject, names in sorted(splits.items()):
        if len(names) > 1:
            found.add(f"subject {subject} is in the splits {' and '.join(sorted(names))}", dataset=manifest.dataset)


def _by_shard(manifest: Manifest, rows: pa.Table | None) -> Iterator[tuple[Shard, pa.Table | None]]:
    """Each shard with its rows, in the order of the index; with None where no index could be read."""
    if rows is None:
        for shard in manifest.shards:
            yield shard, None
        return
    paths = pa.array([shard.path for shard in manifest.shards], pa.string())
    numbers = pc.index_in(rows.column("shard").cast(pa.string()), paths).to_numpy()
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers, np.arange(len(paths) + 1), sorter=order)
    for number, shard in enumerate(manifest.shards):
        yield shard, rows.take(pa.array(order[starts[number] : starts[number + 1]]))


def _shard(store: Store, manifest: Manifest, shard: Shard, rows: pa.Table | None, found: _Findings,
           advance: Callable[[int], None]) -> None:  # fmt: skip
    reader, ref = reader_of(store, manifest, shard)
    here = _Findings()
    try:
        _content(reader, shard, rows, ref.path, _compared(manifest), here, advance)
    except (FormatError, NotFound, UsageError) as error:
        error.shard = ref.path
        here.problems.append(str(error))
    found.problems += here.problems[:MOST]
    if len(here.problems) > MOST:
        found.add(f"and {len(here.problems) - MOST} more problems", shard=ref.path)


def _compared(manifest: Manifest) -> Mapping[str, Kind]:
    return compared({part.name: part.kind for part in manifest.parts}, manifest.tasks)


def _content(reader: StoreBytes, shard: Shard, rows: pa.Table | None, path: str, kinds: Mapping[str, Kind],
             found: _Findings, advance: Callable[[int], None]) -> None:  # fmt: skip
    size = reader.size(0)
    if size != shard.bytes:
        found.add(f"the object has {size} bytes, the manifest says {shard.bytes}", shard=path)
        return
    with tempfile.TemporaryFile(prefix="ropeway-verify-") as temporary:
        file = cast("BinaryIO", temporary)
        if copy(reader, size, file, advance) != shard.sha256 and shard.sha256 != NO_SHA256:
            found.add("sha256 differs from the manifest's", shard=path)
        if rows is None:
            # still a whole tar, with names that are ours unless it was adopted
            deque(tar.members(file) if is_url(shard.path) else _parts(file), maxlen=0)
            return
        _spans(file, shard, rows, path, found)
        if shard.bytes and "content" in rows.schema.names:
            _contents(file, rows, path, kinds, found)
        if is_url(shard.path):
            _places(file, rows, path, found)
        else:
            _members(file, rows, path, shard.withdrawn, found)


def _places(file: BinaryIO, rows: pa.Table, shard: str, found: _Findings) -> None:
    """An adopted tar has names of its own: each part of the index has to be the content of one of its members."""
    there = {Span(member.offset, member.length) for member in tar.members(file)}
    for key, parts in _expected(rows).items():
        if not there.issuperset(parts.values()):
            found.add("index and tar differ in where its parts lie", shard=shard, key=key)


def _members(file: BinaryIO, rows: pa.Table, shard: str, withdrawn: int, found: _Findings) -> None:
    """The tar's members, grouped by key, against the index's rows: same samples, same order, same places.

    So many samples were withdrawn, and may be in the tar alone.
    """
    expected = _expected(rows)
    seen, alone = set(), list[str]()
    for key, group in groupby(_parts(file), key=lambda member: member[0]):
        members = [(part, span) for _, part, span in group]
        parts = dict(members)
        for part, count in Counter(part for part, _ in members).items():
            if count > 1:
                found.add(f"part {part} is there {count} times", shard=shard, key=key)
        if key in seen:
            found.add("the members of a sample are not adjacent", shard=shard, key=key)
        elif key not in expected:
            alone.append(key)
        elif expected[key] != parts:
            found.add("index and tar differ in where its parts lie", shard=shard, key=key)
        seen.add(key)
    if withdrawn and len(alone) != withdrawn:
        found.add(f"{len(alone)} samples are in the tar, but not in the index; {withdrawn} were withdrawn", shard=shard)
    for key in [] if withdrawn else alone:
        found.add("sample is in the tar, but not in the index", shard=shard, key=key)
    for key in sorted(expected.keys() - seen):
        found.add("sample is in the index, but not in the tar", shard=shard, key=key)


def _parts(file: BinaryIO) -> Iterator[tuple[str, str, Span]]:
    for member in tar.members(file):
        key, part, _ = tar.split_name(member.name)
        yield key, part, Span(member.offset, member.length)


def _expected(rows: pa.Table) -> dict[str, dict[str, Span]]:
    columns = {
        part: list(
            zip(rows.column(f"{part}.offset").to_pylist(), rows.column(f"{part}.length").to_pylist(), strict=True)
        )
        for part in _part_names(rows)
    }
    return {
        key: {part: Span(*spans[at]) for part, spans in columns.items() if spans[at][0] is not None}
        for at, key in enumerate(rows.column("key").to_pylist())
    }


def _spans(file: BinaryIO, shard: Shard, rows: pa.Table, path: str, found: _Findings) -> None:
    if len(rows) != shard.samples:
        found.add(f"{len(rows)} index rows, the manifest says {shard.samples} samples", shard=path)
    wrong = set(rows.column("split").unique().to_pylist()) - {shard.split}
    if wrong:
        found.add(f"a shard of split {shard.split} holds samples of {', '.join(sorted(wrong))}", shard=path)
    content = np.memmap(file, np.uint8, "r") if shard.bytes else np.empty(0, np.uint8)
    columns = (rows.column(name).to_pylist() for name in ("key", "offset", "length", "crc32c"))
    for key, offset, length, expected in zip(*columns, strict=True):
        span = content[offset : offset + length]
        if len(span) != length or (expected is not None and crc32c(span) != expected):
            found.add("crc32c of the sample differs from the index's", shard=path, key=key, offset=offset)
    for part in _part_names(rows):
        _outside(rows, part, path, found)


def _contents(file: BinaryIO, rows: pa.Table, path: str, kinds: Mapping[str, Kind], found: _Findings) -> None:
    """Content numbers against the content: by a wrong one a view would leave out a sample that is like no other."""
    content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    parts = _expected(rows)
    for key, number in zip(rows.column("key").to_pylist(), rows.column("content").to_pylist(), strict=True):
        pieces = {part: content[at.offset : at.offset + at.length] for part, at in parts[key].items()}
        if number is not None and content_number(pieces, kinds) != number:
            found.add("the content number differs from the content", shard=path, key=key)


def _outside(rows: pa.Table, part: str, path: str, found: _Findings) -> None:
    """A reader fetches a sample's span and cuts its parts out of that."""
    offset, start = rows.column("offset"), rows.column(f"{part}.offset")
    stop = pc.add(start, rows.column(f"{part}.length"))
    outside = pc.or_(pc.less(start, offset), pc.greater(stop, pc.add(offset, rows.column("length"))))
    for key in rows.column("key").filter(outside).to_pylist():
        found.add(f"part {part} lies outside its sample's span", shard=path, key=key)


def _part_names(rows: pa.Table) -> list[str]:
    """Parts by their columns; metadata may have a column of that name too."""
    names = [name.removesuffix(".offset") for name in rows.schema.names if name.endswith(".offset")]
    return [name for name in names if f"{name}.length" in rows.schema.names and "." not in name and name != "meta"]
