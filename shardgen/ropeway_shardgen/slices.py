"""Packing a dataset in slices, for sites without a cluster: each job of a Slurm array packs its share of the shards.

Slices need not know of each other. Whichever ends last finds that all shards are there, and publishes.

Each slice makes the whole plan, and so does a pack that is run again: which version it is follows from the listing of
the raw files, so no plan that was kept could be trusted before the folder was listed anew, and listing is what a plan
takes. Processor time, on one core of an AMD EPYC: 20 µs a row of a table with a picture each, 5 µs a window of an EDF,
340 µs a NIfTI, 0.6 ms a DICOM file or slice of a series (`python -m benchmarks packing --adapters`): one and a half
minutes for four and a half million pictures. A file system that answers slowly takes its own time for each file, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ropeway.errors import StoreError, UsageError
from ropeway.stores import Store
from ropeway_shardgen import sidecar
from ropeway_shardgen.engine import Engine, in_process
from ropeway_shardgen.pack import SILENT, Packed, Watch, finish, pack_shards, packed_before
from ropeway_shardgen.plan import Plan, Settings


@dataclass(frozen=True, slots=True)
class Slice:
    """The `number`-th of `count` equal shares of a plan's shards; counted from 1, as Slurm's arrays are written."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"slice {self.number}/{self.count}: there are the slices 1 to {self.count}")

    @staticmethod
    def parse(text: str) -> "Slice":
        """A slice as it is written: `3/8`.

        Raises:
            UsageError: it is none.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise UsageError(f"not a slice: {text!r} (write 3/8 for the third of eight)")
        return Slice(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A slice is packed, others are not yet: nothing is published.

    Attributes:
        packed: shards of this slice, `resumed` of them from an earlier run.
        missing: shards of the other slices that are not there.
    """

    dataset: str
    version: str
    packed: int
    resumed: int
    missing: int


def pack_slice(
    plan: Plan,
    store: Store,
    settings: Settings,
    own: Slice,
    *,
    engine: Engine = in_process,
    watch: Watch = SILENT,
) -> Packed | Unfinished:
    """Pack a slice, and publish if it was the last.

    Raises:
        SourceError: a raw file cannot be packed. The other slices are not concerned.
        StoreError: the store does not take it.
    """
    there = packed_before(plan, store)
    if there is not None:
        return there
    shards = plan.shards[own.number - 1 :: own.count]
    resumed = pack_shards(plan, shards, store, settings, engine=engine, watch=watch)
    missing = sum(1 for _ in _missing(plan, store))
    if not missing:
        return finish(plan, store, resumed)
    # Perhaps none is missing: another slice was the last one, has published, and cleared the sidecars away.
    return packed_before(plan, store) or Unfinished(plan.recipe.id, plan.version, len(shards), resumed, missing)


def publish_slices(plan: Plan, store: Store) -> Packed:
    """Publish what slices have packed; packs nothing.

    Raises:
        StoreError: shards are missing; the message says how many, and which is the first.
    """
    there = packed_before(plan, store)
    if there is not None:
        return there
    missing = list(_missing(plan, store))
    if missing:
        raise StoreError(
            f"version {plan.version} cannot be published: {len(missing)} of {len(plan.shards)} shards are not packed, "
            f"the first is {missing[0]}; run their slices (again)",
            dataset=plan.recipe.id,
            url=store.url,
        )
    return finish(plan, store, len(plan.shards))


def _missing(plan: Plan, store: Store) -> Iterator[str]:
    """Names of the shards without a sidecar."""
    present = {stat.path for stat in store.objects(sidecar.folder(plan.recipe.id, plan.version))}
    for shard in plan.shards:
        if sidecar.path(plan.recipe.id, plan.version, shard.name) not in present:
            yield shard.name
