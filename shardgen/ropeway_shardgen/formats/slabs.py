"""Volumes cut into slabs of consecutive slices."""

from collections.abc import Iterator
from typing import NamedTuple

from ropeway_shardgen.adapters.adapter import Options
from ropeway_shardgen.fields import Fields, lookup


class SlabOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a volume is cut along its slices."""

    slices: int = 0
    """Slices of a slab; 0: the volume is not cut."""
    stride: int = 0
    """Slices from the start of a slab to that of the next; 0: as many as a slab has, so that none is in two."""

    def __post_init__(self) -> None:
        if self.slices < 0 or self.stride < 0:
            raise ValueError("slices and stride are counts")
        if self.stride > (self.slices or self.stride):
            raise ValueError(f"a stride of {self.stride} leaves out slices between slabs of {self.slices}")


class Slab(NamedTuple):
    """Slices [start, stop) of a volume; `number` counts slabs from 0."""

    number: int
    start: int
    stop: int


def slabs(depth: int, options: SlabOptions) -> Iterator[Slab]:
    """The slabs of a volume of so many slices. The last one ends with the volume, so that no slice is left out.

    A volume of fewer slices than a slab has is one slab, as short as it is.
    """
    size = options.slices or depth
    last = max(0, depth - size)
    starts = [*range(0, last, options.stride or size), last]
    for number, start in enumerate(starts):
        yield Slab(number, start, min(depth, start + size))


def slab_fields(slab: Slab) -> dict[str, int]:
    """The fields `slab` (its number), `first_slice` and `slices`."""
    return {"slab": slab.number, "first_slice": slab.start, "slices": slab.stop - slab.start}


def locators(options: SlabOptions) -> tuple[str, ...]:
    """The fields that tell which slab to read."""
    return ("first_slice", "slices") if options.slices else ()


def chosen(fields: Fields, depth: int, options: SlabOptions) -> range:
    """The slices that a sample's fields ask for; all of them where the volume is not cut.

    Raises:
        ValueError: the volume does not have them.
    """
    if not options.slices:
        return range(depth)
    start, count = (int(lookup(fields, name) or 0) for name in locators(options))
    if start < 0 or count < 1 or start + count > depth:
        raise ValueError(f"slices {start} to {start + count - 1} of a volume of {depth}")
    return range(start, start + count)
