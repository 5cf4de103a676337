"""CT volumes as a 3-D model takes them: a window of Hounsfield units, a slab of slices, one size."""

from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from ropeway.decode import FileDecoder
from ropeway.decoders.arrays import npy_layout
from ropeway.decoders.scaled import resampled
from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.samples import Array

_AXES = ("slice", "height", "width")


@dataclass(frozen=True, slots=True)
class Hounsfield:
    """The middle slices of a CT: float32 (slices, size, size) from 0 (the window's low end) to 1 (its high end).

    Only those slices are fetched. A volume of fewer slices has zeros on both sides. For parts in Hounsfield units
    (`units = "HU"`) that lie slice by slice (slice, height, width), as the CT recipes store them.

    Attributes:
        centre, width: of the window, HU.
        slices: how many.
        size: height and width; slices are stretched to it, as in BenchMD.
        start: the first slice wanted, from 0; None: the slab in the middle.
    """

    centre: float
    width: float
    slices: int = 24
    size: int = 256
    start: int | None = None

    def __post_init__(self) -> None:
        if self.width <= 0 or self.slices < 1 or self.size < 1 or (self.start or 0) < 0:
            raise UsageError(f"{self}: width > 0, slices >= 1, size >= 1 and start >= 0 are needed")

    def of(self, part: Part) -> tuple[FileDecoder, Part]:
        if part.format != "npy" or part.units != "HU" or part.axes[1:] != _AXES[1:]:
            raise UsageError(
                f"Hounsfield can't read part {part.name!r}: it takes npy volumes ({', '.join(_AXES)}) in units HU, not "
                f"{part.format or 'several formats'} ({', '.join(part.axes)}), units {part.units or 'none'!r}"
            )
        shape = (self.slices, self.size, self.size)
        return FileDecoder(self._slab), replace(part, dtype="<f4", shape=shape, axes=_AXES, units="")

    def _slab(self, file: BinaryIO) -> Array:
        layout = npy_layout(file)
        if len(layout.shape) != len(_AXES):
            raise ValueError(f"a volume of {len(layout.shape)} dimensions, not {len(_AXES)}")
        depth = layout.shape[0]
        start = max(0, (depth - self.slices) // 2) if self.start is None else self.start
        stop = min(depth, start + self.slices)
        if start >= stop:
            raise ValueError(f"a volume of {depth} slices has none from {start} on")
        values = layout.slab(file, 0, start, stop)
        found = np.zeros((self.slices, self.size, self.size), np.float32)
        first = (self.slices - len(values)) // 2 if self.start is None else 0
        low = self.centre - self.width / 2
        for place, picture in enumerate(values):
            scaled = resampled(np.ascontiguousarray(picture, np.float32), (self.size, self.size), "stretch")
            found[first + place] = ((scaled - low) / self.width).clip(0, 1)
        return found
