"""A dataset whose subjects are withdrawn, and what is left of it by every way of asking."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping, Set
from typing import Any

import polars

import ropeway
import tiny_store
from ropeway.catalog import StoreCatalog
from ropeway.decode import as_bytes
from ropeway.mount.listing import Folder, SampleFolder
from ropeway.mount.source import Named, open_source
from ropeway.mount.stretches import Stretches
from ropeway.mount.tree import Tree
from ropeway.query import Query
from ropeway.stores import Store
from tiny_store import Sample

SAMPLES = tiny_store.samples(72)
"""Three of each subject: s0 to s15 are in the split `train`, s16 to s19 in `valid`, s20 to s23 in `test`."""

DATASET = "tiny"


def left(gone: Iterable[str]) -> dict[str, Sample]:
    """The samples that are left without these subjects, by key."""
    out = set(gone)
    return {sample.key: sample for sample in SAMPLES if sample.subject not in out}


def loader(view: ropeway.View) -> ropeway.NumpyLoader:
    """A loader that reads all parts."""
    return ropeway.NumpyLoader(view, 4, tail="pad", decoders={"bin": as_bytes, "jpg": as_bytes})


def keys_of(view: ropeway.View) -> set[str]:
    """The keys that a loader delivers, each once."""
    found: list[str] = []
    for batch in loader(view):
        found += [key for key, real in zip(batch["__key__"], batch["__mask__"], strict=True) if real]
    assert len(found) == len(set(found))
    return set(found)


def current(store: Store) -> Any:
    """The manifest of the current version, looked up anew."""
    return StoreCatalog(store).manifest(DATASET)


def indexed(store: Store) -> set[str]:
    """The keys of the current version by polars, which knows nothing of us."""
    files = [store.read(f"{DATASET}/{file.path}") for file in current(store).index]
    return {key for data in files for key in polars.read_parquet(io.BytesIO(data))["key"]}


def mounted(store: Store) -> set[str]:
    """The files that a mount lists below `samples`."""
    tree = Tree(open_source(Named(store.url), Query()), Stretches(64 << 20, 10), None, 10)
    try:
        return set(_below(tree, "/samples"))
    finally:
        tree.close()


def _below(tree: Tree, path: str) -> Iterable[str]:
    folder = tree.find(path)
    assert isinstance(folder, Folder)
    for entry in folder.entries():
        inside = f"{path}/{entry.name}"
        if entry.is_folder:
            yield from _below(tree, inside)
        else:
            assert isinstance(folder, SampleFolder)
            yield inside.removeprefix(f"/samples/{DATASET}/")


def files_of(samples: Mapping[str, Sample]) -> set[str]:
    """Where a mount should have these samples."""
    return {f"{sample.split}/{key}.{part}.{form}" for key, sample in samples.items()
            for part, (form, _) in sample.parts.items()}  # fmt: skip


def members(store: Store, path: str) -> dict[str, bytes]:
    """The members of a shard by tarfile: name → content."""
    with tarfile.open(fileobj=io.BytesIO(store.read(path))) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def digests(store: Store) -> dict[str, str]:
    """The sha256 of every object, by path."""
    return {stat.path: hashlib.sha256(store.read(stat.path)).hexdigest() for stat in store.objects()}


def traces(store: Store, gone: Set[str]) -> list[str]:
    """The objects in which keys, subjects or contents of the withdrawn are found still."""
    keys = {sample.key for sample in SAMPLES if sample.subject in gone}
    contents = {content for sample in SAMPLES if sample.subject in gone for _, content in sample.parts.values()}
    found = []
    for stat in store.objects():
        data = bytes(store.read(stat.path))
        held = any(key.encode() in data for key in keys)
        if stat.path.endswith(".parquet"):
            rows = polars.read_parquet(io.BytesIO(data))
            held = held or bool(keys & set(rows["key"]) or gone & set(rows["subject"]))
        elif stat.path.endswith(".tar"):
            held = held or bool(contents & set(members(store, stat.path).values()))
        found += [stat.path] if held else []
    return found
