"""Which samples of a store hold the same bytes: within a dataset, between its splits, and between datasets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pyarrow as pa

from ropeway import duplicates
from ropeway.content import compared, content_number
from ropeway.errors import FormatError
from ropeway.indexed import load_index
from ropeway.manifest import Manifest
from ropeway.stored import Advance, stored_samples
from ropeway.stores import Store


@dataclass(frozen=True, slots=True, order=True)
class Twin:
    """One of the samples that hold the same."""

    dataset: str
    key: str
    split: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sets that share content: in `groups` groups of equal samples, some are in the one and some in the other."""

    one: str
    """`dataset/split`"""
    other: str
    groups: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What repeats in a store.

    Attributes:
        datasets: dataset id → version.
        samples: all samples; `compared` of them hold something that is compared.
        repeated: samples that a view with `distinct` over all of them would leave out.
        pairs: sets that share content, most groups first; of one set with itself, too.
        leaks: groups with samples in more than one split, whatever their datasets.
        groups: the samples that hold the same, by dataset and key.
    """

    datasets: dict[str, str]
    samples: int
    compared: int
    repeated: int
    leaks: int
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[Twin, ...], ...]


def find(store: Store, manifests: Sequence[Manifest], advance: Advance = lambda _: None) -> Duplicates:
    """Compare all samples of these dataset versions by their content.

    Memory is that of the index columns and of the groups found. Shards are only read where an index was written before
    contents had numbers.

    Raises:
        FormatError: an index, or a shard that has to be read, is damaged.
    """
    chosen = sorted(manifests, key=lambda manifest: manifest.dataset)
    tables = [_numbered(store, manifest, advance) for manifest in chosen]
    found = list(duplicates.groups(tables))
    names = [manifest.dataset for manifest in chosen]
    twins = tuple(tuple(_twin(names, tables, place) for place in group) for group in found)
    return Duplicates(
        datasets={manifest.dataset: manifest.version for manifest in chosen},
        samples=sum(len(table) for table in tables),
        compared=sum(len(table) - table.column("content").null_count for table in tables),
        repeated=sum(len(group) - 1 for group in found),
        leaks=sum(len({twin.split for twin in group}) > 1 for group in twins),
        pairs=_pairs(twins),
        groups=twins,
    )


def _twin(names: Sequence[str], tables: Sequence[pa.Table], place: duplicates.Place) -> Twin:
    row = {name: tables[place.table].column(name)[place.row].as_py() for name in ("key", "split")}
    return Twin(names[place.table], row["key"], row["split"])


def _pairs(groups: Sequence[Sequence[Twin]]) -> tuple[Pair, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    for group in groups:
        sets = Counter(f"{twin.dataset}/{twin.split}" for twin in group)
        counts.update((one, one) for one, times in sets.items() if times > 1)
        counts.update(combinations(sorted(sets), 2))
    return tuple(Pair(*sets, number) for sets, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _numbered(store: Store, manifest: Manifest, advance: Advance) -> pa.Table:
    """Key, split and content number of each sample; the numbers are worked out where the index has none."""
    rows = load_index(store, manifest)
    if "content" in rows.schema.names:
        return rows.select(["key", "split", "content"])
    numbers = _read(store, manifest, advance)
    missing = [key for key in rows.column("key").to_pylist() if key not in numbers]
    if missing:
        raise FormatError("sample is in the index, but not in a shard", dataset=manifest.dataset, key=missing[0])
    contents = pa.array([numbers[key] for key in rows.column("key").to_pylist()], pa.int64())
    return rows.select(["key", "split"]).append_column("content", contents)


def _read(store: Store, manifest: Manifest, advance: Advance) -> dict[str, int | None]:
    kinds = compared({part.name: part.kind for part in manifest.parts}, manifest.tasks)
    return {
        sample.key: content_number({part.name: part.content for part in sample.parts}, kinds)
        for shard in manifest.shards
        for sample in stored_samples(store, manifest, shard, advance)
    }
