"""Joins of views: which sample of one is the partner of which of another. Arithmetic over index columns."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway import samples, shard_table
from ropeway.definition import Joined
from ropeway.errors import UsageError
from ropeway.manifest import Part, Task
from ropeway.samples import Array, Ints, Layout, Samples
from ropeway.shard_bytes import PairedBytes, ShardBytes

if TYPE_CHECKING:
    from ropeway.view import View, ViewInfo, ViewSource

Floats = npt.NDArray[np.float64]

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")


def seconds(duration: str) -> float:
    """A duration such as `48h` in seconds: a number and s, m(inutes), h, d or w.

    Raises:
        UsageError: it is none.
    """
    match = _DURATION.fullmatch(duration.strip())
    if match is None:
        raise UsageError(f"a duration is a number and one of s, m, h, d, w, such as '48h'; not {duration!r}")
    return float(match[1]) * _SECONDS[match[2]]


def join(view: "View", other: "View", asked: Joined) -> "View":
    """The view of a view's samples with their partners in another one; see `View.join`."""
    from ropeway.view import View

    parts = _parts(view.info, other.info)
    names = [*asked.on, "split", *([asked.time] if asked.within is not None else [])]
    once = list(dict.fromkeys(names))
    ours, theirs = view.columns(once), other.columns(once)
    left, right = _keys(view, other, ours, theirs, asked.on)
    if asked.within is None:
        partner = _only(left, right, asked.on)
    else:
        times = _times(ours.column(asked.time)), _times(theirs.column(asked.time))
        partner = _nearest((left, times[0]), (right, times[1]), asked.within)
    if not (partner >= 0).any():
        raise UsageError("no sample has a partner in the other view: nothing would be joined")
    rows = np.flatnonzero(partner >= 0) if asked.missing == "drop" else np.arange(len(partner))
    source = JoinedSource(view.source, other.source, rows, partner[rows], view.table(), other.table())
    info = _info(view.info, other.info, asked, parts, source.samples())
    return View(replace(info, id=_digest(view.id, other.id, asked)), source)


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """The content of some rows of a view, each with the row of another one that is its partner, or −1."""

    left: "ViewSource"
    right: "ViewSource"
    rows: Ints
    partner: Ints
    left_table: Samples
    right_table: Samples

    def samples(self) -> Samples:
        ours, theirs = self.left_table.take(self.rows), self.right_table
        shift = len(ours.shards)
        shards = shard_table.together([ours.shards, theirs.shards])
        partners = [replace(one, shards=shards) for one in ours.partners]
        others = (replace(theirs, partners=(), labels={}), *theirs.partners)
        partners += [replace(_aligned(one, self.partner, shift), shards=shards) for one in others]
        labels = {task: _aligned_labels(values, self.partner) for task, values in theirs.labels.items()}
        return replace(ours, shards=shards, labels={**labels, **ours.labels}, partners=tuple(partners))

    def reader(self, table: Layout) -> ShardBytes:
        return PairedBytes(
            self.left.reader(self.left_table), self.right.reader(self.right_table), len(self.left_table.shards)
        )

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Columns of the first view; those it lacks, of the partners."""
        found = {}
        for name in names:
            try:
                found[name] = self.left.columns([name]).column(name).take(pa.array(self.rows))
            except UsageError as error:
                try:
                    theirs = self.right.columns([name]).column(name)
                except UsageError:
                    raise error from None
                found[name] = theirs.take(pa.array(self.partner, mask=self.partner < 0))
        return pa.table(found)


def _parts(ours: "ViewInfo", theirs: "ViewInfo") -> tuple[Part, ...]:
    mine = {part.name for part in ours.parts}
    both = [part.name for part in theirs.parts if part.name in mine]
    if both:
        raise UsageError(f"both views have a part {both[0]!r}: a joined sample has each part once")
    for dataset, version in theirs.datasets.items():
        if ours.datasets.get(dataset, version) != version:
            raise UsageError(f"the views are of different versions of {dataset}: query one of them again")
    return (*ours.parts, *theirs.parts)


def _info(ours: "ViewInfo", theirs: "ViewInfo", asked: Joined, parts: tuple[Part, ...], table: Samples) -> "ViewInfo":
    known = {task.id for task in ours.tasks}
    tasks: tuple[Task, ...] = (*ours.tasks, *(task for task in theirs.tasks if task.id not in known))
    size = int(table.length.sum()) + sum(int(partner.length.sum()) for partner in table.partners)
    return replace(
        ours, samples=len(table), bytes=size, datasets={**ours.datasets, **theirs.datasets}, definition=asked,
        tasks=tasks, parts=parts, namespaces={**ours.namespaces, **theirs.namespaces},
        targets=(*ours.targets, *theirs.targets),
        label_counts={task.id: samples.label_counts(table, task) for task in tasks if task.classes},
    )  # fmt: skip


def _digest(ours: str, theirs: str, asked: Joined) -> str:
    made = f"{ours} join {theirs} {asked.on!r} {asked.within} {asked.time} {asked.missing}"
    return hashlib.sha256(made.encode()).hexdigest()[:16]


def _keys(view: "View", other: "View", ours: pa.Table, theirs: pa.Table, on: Sequence[str]) -> tuple[Ints, Ints]:
    """Each sample's key as a number, equal where samples may be partners; −1 where one of its columns is null."""
    columns = [(ours.column(name), theirs.column(name)) for name in (*on, "split")]
    if "subject" in on:
        columns.append((_namespaces(view), _namespaces(other)))
        shared = set(columns[-1][0].unique().to_pylist()) & set(columns[-1][1].unique().to_pylist())
        if not shared:
            raise UsageError(
                "the subjects of these views have pseudonyms of different namespaces, which say nothing of one another:"
                " pack both datasets with the same [subject] namespace and key"
            )
    number, known = np.zeros(len(ours) + len(theirs), np.int64), np.ones(len(ours) + len(theirs), np.bool_)
    for mine, other_ones in columns:
        codes = _together(mine, other_ones)
        known &= codes >= 0
        _, number = np.unique(number * (int(codes.max(initial=0)) + 1) + np.maximum(codes, 0), return_inverse=True)
    number[~known] = -1
    return number[: len(ours)], number[len(ours) :]


def _together(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> Ints:
    """Two columns as numbers that are equal where values are."""
    if ours.type != theirs.type:
        raise UsageError(f"the views have different types in a column to join on: {ours.type} and {theirs.type}")
    encoded = pa.chunked_array([*ours.chunks, *theirs.chunks], ours.type).combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1), np.int64)


def _namespaces(view: "View") -> pa.ChunkedArray:
    """What tells apart whose pseudonyms a sample's subject is one of; a dataset without a namespace is alone."""
    table = view.table()
    names: Mapping[str, str] = view.info.namespaces
    named = pa.array([names.get(ref.dataset) or f"only {ref.dataset}" for ref in table.shards], pa.string())
    return pa.chunked_array([named.take(pa.array(table.shard))])


def _times(column: pa.ChunkedArray) -> Floats:
    """Seconds; NaN where there is no time."""
    if pa.types.is_string(column.type):
        try:
            column = column.cast(pa.timestamp("us"))
        except pa.ArrowInvalid as error:
            raise UsageError("a time is a number of seconds, or text such as 2180-05-06 22:23:00") from error
        return np.asarray(column.cast(pa.int64()).cast(pa.float64()).fill_null(np.nan)) / 1e6
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise UsageError(f"a time is a number of seconds, or text such as 2180-05-06 22:23:00; not {column.type}")
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan))


def _only(left: Ints, right: Ints, on: Sequence[str]) -> Ints:
    """The one row of the right that has each key of the left, or −1."""
    rows = np.flatnonzero(right >= 0)
    keys, first, count = np.unique(right[rows], return_index=True, return_counts=True)
    if not len(keys):
        return np.full(len(left), -1)
    place = np.minimum(np.searchsorted(keys, left), len(keys) - 1)
    there = (keys[place] == left) & (left >= 0)
    several = int((there & (count[place] > 1)).sum())
    if several:
        raise UsageError(
            f"{several:,} samples have several partners on {', '.join(on)}: say how near in time (within='48h'), or "
            "join on more columns"
        )
    return np.where(there, rows[first[place]], -1)


def _nearest(left: tuple[Ints, Floats], right: tuple[Ints, Floats], within: float) -> Ints:
    """The row of the right with the same key that is nearest in time, or −1; of two equally near the earlier one."""
    (keys, times), (their_keys, their_times) = left, right
    rows = np.flatnonzero((their_keys >= 0) & ~np.isnan(their_times))
    partner = np.full(len(keys), -1)
    asking = np.flatnonzero((keys >= 0) & ~np.isnan(times))
    if not len(rows) or not len(asking):
        return partner
    moments, rank = np.unique(np.concatenate([times[asking], their_times[rows]]), return_inverse=True)
    place = np.concatenate([keys[asking], their_keys[rows]]) * len(moments) + rank
    mine, theirs = place[: len(asking)], place[len(asking) :]
    order = np.argsort(theirs, kind="stable")
    rows, theirs = rows[order], theirs[order]
    after = np.searchsorted(theirs, mine)
    before = np.searchsorted(theirs, theirs[np.maximum(after - 1, 0)])
    best, distance = np.full(len(asking), -1), np.full(len(asking), np.inf)
    for candidate, exists in ((before, after > 0), (np.minimum(after, len(rows) - 1), after < len(rows))):
        row = rows[candidate]
        apart = np.abs(their_times[row] - times[asking])
        good = exists & (their_keys[row] == keys[asking]) & (apart <= within) & (apart < distance)
        best[good], distance[good] = row[good], apart[good]
    partner[asking] = best
    return partner


def _aligned(table: Samples, partner: Ints, shift: int) -> Samples:
    """A table's rows beside those they are partners of; nothing where there is none."""
    there = partner >= 0
    found = table.take(np.where(there, partner, 0))
    there = there & (found.shard != samples.NOBODY)
    spans = {part: (np.where(there, a, -1), np.where(there, b, 0)) for part, (a, b) in found.parts.items()}
    return replace(
        found,
        shard=np.where(there, found.shard + np.int32(shift), np.int32(samples.NOBODY)),
        offset=np.where(there, found.offset, 0),
        length=np.where(there, found.length, 0),
        crc32c=np.where(there, found.crc32c, np.uint32(0)),
        keys=pc.if_else(pa.array(there), found.keys, pa.scalar("")),
        parts=spans,
    )


def _aligned_labels(values: Array, partner: Ints) -> Array:
    found = values[np.maximum(partner, 0)]
    found[partner < 0] = np.nan if values.dtype.kind == "f" else samples.UNLABELLED
    return found
