"""Erasing: versions that still hold withdrawn subjects are removed from the store, with the shards that only they have.

`latest.json` forgets them first, for good; then their objects go, the manifests before all others. What a kill leaves
is found by the versions that `latest.json` has under `erased`.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from ropeway.errors import UsageError
from ropeway.export.energon import FOLDER
from ropeway.lifecycle.versions import Announce, Current, current, swapped, unannounced
from ropeway.manifest import Manifest, is_url, is_version, manifest_path, object_path, withdrawn_path
from ropeway.publishing import published
from ropeway.stores import Stat, Store


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be removed.

    Attributes:
        now: the dataset as it was looked at.
        versions: that are to be forgotten, or were forgotten and are not quite gone.
        objects: of theirs, in the order in which they go.
        unfinished: versions that were begun and not published. They are left alone, and may hold anybody.
    """

    now: Current
    versions: tuple[str, ...]
    objects: tuple[Stat, ...]
    unfinished: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all objects."""
        return sum(stat.size for stat in self.objects)


def planned(store: Store, dataset: str) -> Erasure:
    """What holds withdrawn subjects and is not needed by the current version.

    Raises:
        NotFound: no such dataset.
        UsageError: the current version's shards hold them too.
    """
    now = current(store, dataset)
    held = sum(shard.withdrawn for shard in now.manifest.shards)
    if held:
        raise UsageError(f"{held:,} withdrawn samples lie in shards of the current version: compact it first",
                         dataset=dataset)  # fmt: skip
    there = [name for name in store.folders(dataset) if is_version(name) and name not in now.latest.erased]
    found = {name: published(store, dataset, name) for name in there}
    kept = [made for made in found.values() if made is not None and not _holds(made, now.manifest)]
    doomed = [name for name, made in found.items() if made is not None and made not in kept]
    needed = {path for made in kept for path in _objects(made)}
    going = {version: _left(store, dataset, version, needed) for version in (*now.latest.erased, *doomed)}
    objects = [stat for left in going.values() for stat in left]
    if objects:
        objects = [*store.objects(object_path(dataset, FOLDER)), *objects]
    unfinished = tuple(name for name, made in found.items() if made is None)
    return Erasure(now, tuple(version for version, left in going.items() if left), tuple(objects), unfinished)


def erase(
    store: Store,
    dataset: str,
    plan: Erasure,
    *,
    advance: Callable[[int], None] = lambda _: None,
    announce: Announce = unannounced,
) -> None:
    """Remove what was planned, for good. The same again, after a kill, ends what was begun.

    Raises:
        UsageError: the dataset was changed since it was planned: nothing is removed.
        StoreError: the store does not do it.
    """
    now, latest = plan.now, plan.now.latest
    left = replace(latest, history=tuple(one for one in latest.history if one not in plan.versions),
                   erased=tuple(dict.fromkeys((*latest.erased, *plan.versions))))  # fmt: skip
    announce(now.manifest, {"versions": len(plan.versions), "objects": len(plan.objects), "bytes": plan.bytes})
    if left != latest and not swapped(store, now, left):
        raise UsageError("somebody published a version meanwhile, and nothing was erased: run it again",
                         dataset=dataset)  # fmt: skip
    for stat in plan.objects:
        store.delete(stat.path)
        advance(stat.size)


def _holds(made: Manifest, now: Manifest) -> bool:
    """Whether a version is from before a withdrawal, or has shards from before it."""
    return made.withdrawn_subjects < now.withdrawn_subjects or any(shard.withdrawn for shard in made.shards)


def _objects(made: Manifest) -> Iterator[str]:
    """The objects of a version, and what an export puts beside its shards."""
    yield manifest_path(made.dataset, made.version)
    yield withdrawn_path(made.dataset, made.version)
    for path in (*(file.path for file in made.index), *(shard.path for shard in made.shards if not is_url(shard.path))):
        place = object_path(made.dataset, path)
        yield from (place, f"{place}.idx", f"{place.removesuffix('.tar')}.idx")


def _left(store: Store, dataset: str, version: str, needed: Set[str]) -> Sequence[Stat]:
    """The objects of a version that nobody else needs, its manifest first."""
    first = manifest_path(dataset, version)
    found = [stat for stat in store.objects(object_path(dataset, version)) if stat.path not in needed]
    return sorted(found, key=lambda stat: stat.path != first)
