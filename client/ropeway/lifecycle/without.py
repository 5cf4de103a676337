"""A version without some subjects: their rows are left out of the index, and the shards stay as they are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ropeway.index_files import write_index
from ropeway.lifecycle import withdrawn
from ropeway.lifecycle.versions import by_shard, rows_of, splits_of, version_of
from ropeway.manifest import Manifest, Part, Shard
from ropeway.publishing import software
from ropeway.stores import Store

CHANGE = "withdraw"


@dataclass(frozen=True, slots=True)
class Without:
    """What is left of a version, and what is not.

    Attributes:
        manifest: of the new version; its index is not written yet.
        rows: the index rows that are left.
        lost: samples that are left out, by split.
        shards: those that hold samples which are left out.
    """

    manifest: Manifest
    rows: pa.Table
    lost: Mapping[str, int]
    shards: Sequence[Shard]


def without(parent: Manifest, rows: pa.Table, subjects: Set[str], digests: frozenset[str]) -> Without:
    """Leave subjects out of a version.

    Args:
        parent: the version.
        rows: its index.
        subjects: who is left out.
        digests: of all who were ever withdrawn from the dataset, these included.
    """
    gone = pc.is_in(rows.column("subject").cast(pa.string()), pa.array(sorted(subjects), pa.string()))
    kept, left_out = rows.filter(pc.invert(gone)), rows.filter(gone)
    lost = Counter(left_out.column("shard").to_pylist())
    made = replace(
        parent,
        version=version_of(parent, CHANGE, digests),
        shards=tuple(_shards(parent, lost)),
        parts=tuple(_part(part, kept) for part in parent.parts),
        provenance=replace(parent.provenance, software=software(), parent=parent.version),
        withdrawn_subjects=len(digests),
    )
    return Without(
        manifest=replace(made, splits=splits_of(kept, made)),
        rows=kept,
        lost=Counter(left_out.column("split").to_pylist()),
        shards=[shard for shard in parent.shards if lost[shard.path]],
    )


def indexed(store: Store, made: Without) -> Manifest:
    """Write the index of a version, which completes its manifest."""
    new = made.manifest
    files = write_index(store, new.dataset, new.version, by_shard(made.rows, new))
    return replace(new, index=tuple(files))


def carried(store: Store, made: Manifest, before: Manifest) -> tuple[Manifest, frozenset[str]]:
    """Without those who were withdrawn before it was packed: the version that takes the place of a new one.

    Args:
        store: where the dataset lies.
        made: a version of raw data, in which they may all be again.
        before: the current version.

    Returns:
        The manifest of a version whose index is written, and the digests of all who were withdrawn.
    """
    digests = withdrawn.load(store, before) | withdrawn.load(store, made)
    rows = rows_of(store, made)
    return indexed(store, without(made, rows, withdrawn.among(rows, made.dataset, digests), digests)), digests


def _shards(parent: Manifest, lost: Mapping[str, int]) -> Iterator[Shard]:
    """The shards that still hold something, with what is left of it."""
    for shard in parent.shards:
        left = shard.samples - lost[shard.path]
        if left:
            yield replace(shard, samples=left, withdrawn=shard.withdrawn + lost[shard.path])


def _part(part: Part, kept: pa.Table) -> Part:
    return replace(part, samples=len(kept) - kept.column(f"{part.name}.offset").null_count)
