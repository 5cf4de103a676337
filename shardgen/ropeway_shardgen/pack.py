"""Packing a dataset: plan, pack the shards that are not finished yet, publish."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ropeway.manifest import Manifest, object_path
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.engine import Engine, in_process
from ropeway_shardgen.plan import DEFAULTS, Plan, Settings, make_plan
from ropeway_shardgen.publish import clear, point_latest, publish, published
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.shard import Advance, ShardTask

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Packed:
    """What a pack did.

    Attributes:
        manifest: what is published now.
        already_published: the same input had been packed before; nothing was written.
        current: whether this version is the dataset's current one.
        resumed: shards that an earlier, unfinished pack had left finished.
    """

    manifest: Manifest
    already_published: bool
    current: bool
    resumed: int


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

    Raises:
        SourceError: the raw data does not fit the recipe. Nothing is published.
        StoreError: the store does not take it. Nothing is published.
    """
    return pack_plan(make_plan(recipe, root, settings), store, settings, engine=engine, watch=watch)


def pack_plan(
    plan: Plan, store: Store, settings: Settings, *, engine: Engine = in_process, watch: Watch = SILENT
) -> Packed:
    """Pack what was planned with the same settings; see `pack`."""
    dataset = plan.recipe.id
    there = published(store, dataset, plan.version)
    if there is not None:
        latest = point_latest(store, dataset, plan.version)
        clear(store, dataset, plan.version)
        return Packed(there, True, latest.version == plan.version, 0)
    tasks = list(_unfinished(plan, store, settings))
    advance: Advance = watch.advance
    watch.begin(plan, sum(len(task.shard.samples) for task in tasks), sum(task.shard.size for task in tasks))
    for summary in engine(tasks, advance):
        log.debug("packed %s: %d samples, %d bytes", summary.name, summary.samples, summary.bytes)
    made = publish(plan, store)
    latest = point_latest(store, dataset, plan.version)
    return Packed(made, False, latest.version == plan.version, len(plan.shards) - len(tasks))


def _unfinished(plan: Plan, store: Store, settings: Settings) -> Iterator[ShardTask]:
    dataset = plan.recipe.id
    sizes = {stat.path: stat.size for stat in store.objects(object_path(dataset, plan.version))}
    for shard in plan.shards:
        place = sidecar.path(dataset, plan.version, shard.name)
        if place in sizes:
            summary, _ = sidecar.read(store, place)
            path = object_path(dataset, f"{plan.version}/{shard.name}")
            if not summary.samples or sizes.get(path) == summary.bytes:
                continue
        yield ShardTask(plan.recipe, plan.version, plan.root, store, settings.on_error, shard)
