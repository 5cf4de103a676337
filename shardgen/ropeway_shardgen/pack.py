"""Packing a dataset: plan, pack the shards that are not finished yet, publish."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ropeway.manifest import Latest, Manifest, object_path
from ropeway.publishing import check_not_erased, point_latest, published, withdrawn_from
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.engine import Engine, in_process
from ropeway_shardgen.plan import DEFAULTS, Plan, Settings, make_plan
from ropeway_shardgen.planned import PlannedShard
from ropeway_shardgen.publish import clear, publish
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.shard import Job
from ropeway_shardgen.shared_subjects import check_shared_subjects

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Packed:
    """What a pack did.

    Attributes:
        manifest: what is published now.
        already_published: the same input had been packed before; nothing was written.
        current: whether this version is the dataset's current one.
        resumed: shards that an earlier, unfinished pack had left finished.
        withdrawn: subjects who were withdrawn from the dataset: its current version, a later one, is without them.
    """

    manifest: Manifest
    already_published: bool
    current: bool
    resumed: int
    withdrawn: int = 0


class Watch:
    """Follows a pack; this one keeps silent."""

    def begin(self, plan: Plan, samples: int, size: int) -> None:
        """Packing begins: so many samples and about so many bytes are left to do."""

    def advance(self, samples: int, size: int) -> None:
        """So many more samples are packed."""


SILENT = Watch()


def pack(
    recipe: Recipe,
    root: str | Path,
    store: Store,
    settings: Settings = DEFAULTS,
    *,
    engine: Engine = in_process,
    watch: Watch = SILENT,
) -> Packed:
    """Pack a raw folder into a store and publish it.

    A pack that was ended before, by an error or a kill, goes on where it stopped; one of the same input that runs
    elsewhere at the same time does no harm.

    The plan is made in this process, where nothing ends a library that loops in a damaged file; so are the shards by
    `in_process`, but not by the other engines. `ropeway pack` does all of it in a process that is watched.

    Raises:
        SourceError: the raw data does not fit the recipe. Nothing is published.
        UsageError: this very version was erased, because subjects were withdrawn.
        StoreError: the store does not take it. Nothing is published.
    """
    return pack_plan(make_plan(recipe, root, settings), store, settings, engine=engine, watch=watch)


def pack_plan(
    plan: Plan, store: Store, settings: Settings, *, engine: Engine = in_process, watch: Watch = SILENT
) -> Packed:
    """Pack what was planned with the same settings; see `pack`."""
    there = packed_before(plan, store)
    if there is not None:
        return there
    resumed = pack_shards(plan, plan.shards, store, settings, engine=engine, watch=watch)
    return finish(plan, store, resumed)


def packed_before(plan: Plan, store: Store) -> Packed | None:
    """What is published of the same input, if it is; what another packer may have left beside it is cleared away."""
    dataset = plan.recipe.id
    there = published(store, dataset, plan.version)
    if there is None:
        return None
    latest = point_latest(store, dataset, plan.version)
    clear(store, dataset, plan.version)
    return _packed(store, there, latest, already=True)


def pack_shards(
    plan: Plan, shards: Sequence[PlannedShard], store: Store, settings: Settings, *, engine: Engine, watch: Watch
) -> int:
    """Pack those of the shards that are not finished, and publish nothing. Returns how many were."""
    check_not_erased(store, plan.recipe.id, plan.version)
    check_shared_subjects(plan, store)
    left = list(_unfinished(plan, shards, store))
    watch.begin(plan, sum(map(len, left)), sum(shard.size for shard in left))
    job = Job(plan.recipe, plan.version, plan.root, store, settings.on_error)
    for summary in engine(job, left, watch.advance) if left else ():
        log.debug("packed %s: %d samples, %d bytes", summary.name, summary.samples, summary.bytes)
    return len(shards) - len(left)


def finish(plan: Plan, store: Store, resumed: int) -> Packed:
    """Publish a plan whose shards are all packed."""
    made = publish(plan, store)
    latest = point_latest(store, plan.recipe.id, plan.version)
    return _packed(store, made, latest, resumed=resumed)


def _packed(store: Store, made: Manifest, latest: Latest, *, already: bool = False, resumed: int = 0) -> Packed:
    return Packed(made, already, latest.version == made.version, resumed, withdrawn_from(store, made, latest))


def _unfinished(plan: Plan, shards: Sequence[PlannedShard], store: Store) -> Iterator[PlannedShard]:
    """The shards without a sidecar, and those whose tar file is not the one that the sidecar tells of."""
    dataset = plan.recipe.id
    sizes = {stat.path: stat.size for stat in store.objects(object_path(dataset, plan.version))}
    places = {shard.name: sidecar.path(dataset, plan.version, shard.name) for shard in shards}
    told = sidecar.read_all(store, [place for place in places.values() if place in sizes])
    for shard in shards:
        if places[shard.name] in sizes:
            summary, _ = next(told)
            path = object_path(dataset, f"{plan.version}/{shard.name}")
            if not summary.samples or sizes.get(path) == summary.bytes:
                continue
        yield shard
