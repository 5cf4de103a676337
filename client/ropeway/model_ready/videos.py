"""Videos as a few frames of one size."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ropeway.decode import VIDEOS, Decoder
from ropeway.decoders.scaled import Fit, resampled
from ropeway.decoders.video import decode_spread
from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.samples import Array


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames spread evenly over a video, RGB uint8 (count, size, size, 3): the first, the last, and between.

    A video of fewer frames repeats some. The whole file is fetched; for frames that follow each other, `Clip` reads
    less.

    Attributes:
        count: how many.
        size: height and width.
        fit: "pad" keeps the proportions with zeros on both sides; "crop" and "stretch" as `Image`.
    """

    count: int
    size: int
    fit: Fit = "pad"

    def __post_init__(self) -> None:
        if self.count < 1 or self.size < 1:
            raise UsageError(f"{self}: count >= 1 and size >= 1 are needed")

    def of(self, part: Part) -> tuple[Decoder, Part]:
        if part.format not in VIDEOS:
            form = part.format or "that differs"
            raise UsageError(f"Frames can't read part {part.name!r} of format {form!r}: it reads {', '.join(VIDEOS)}")
        shape = (self.count, self.size, self.size, 3)
        decode = partial(_frames, form=part.format, count=self.count, sides=(self.size, self.size), fit=self.fit)
        return Decoder(decode, heavy=True), replace(part, dtype="|u1", shape=shape)


def _frames(content: memoryview, form: str, count: int, sides: tuple[int, int], fit: Fit) -> Array:
    found = np.empty((count, *sides, 3), np.uint8)
    for place, frame in decode_spread(content, form, count):
        found[place] = resampled(frame, sides, fit)
    return found
