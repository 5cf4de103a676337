"""Pictures as a vision model takes them: one size, one number of channels, eight bits."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ropeway.decode import Decoder, decode_npy
from ropeway.decoders.scaled import Fit, decode_scaled, resampled
from ropeway.errors import UsageError
from ropeway.manifest import Part
from ropeway.samples import Array

_PICTURES = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601, as every JPEG reader weighs colours."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as uint8 (size, size, channels), whatever it was: 16-bit grey, palette, a decoded DICOM image, colour.

    What is deeper than eight bits is spread over them: from the window's low end to its high end, or, without one, from
    the picture's smallest value to its largest. Normalising with a mean and a deviation is the model's work: the part's
    manifest has them where somebody published them.

    Attributes:
        size: height and width.
        channels: 3 or 1.
        fit: "pad" keeps the proportions with zeros on both sides, as CLIMB does; "crop" and "stretch" as `Image`.
        window: the name of one of the part's windows, for deep pictures.
    """

    size: int
    channels: int = 3
    fit: Fit = "pad"
    window: str = ""

    def __post_init__(self) -> None:
        if self.size < 1 or self.channels not in (1, 3):
            raise UsageError(f"{self}: size >= 1 and channels 1 or 3 are needed")

    def of(self, part: Part) -> tuple[Decoder, Part]:
        if part.format not in (*_PICTURES, "npy", ""):
            raise UsageError(f"Picture can't read part {part.name!r} of format {part.format!r}")
        if part.format in ("npy", "") and not set(part.axes) <= {"height", "width", "channel"}:
            raise UsageError(f"Picture can't read part {part.name!r}: its axes are {', '.join(part.axes)}")
        if self.window and self.window not in part.windows:
            known = ", ".join(part.windows) or "none"
            raise UsageError(f"part {part.name!r} has no window {self.window!r}; there is: {known}")
        reach = None
        if self.window:
            centre, width = part.windows[self.window]
            reach = (centre - width / 2, centre + width / 2)
        decode = partial(_picture, sides=(self.size, self.size), fit=self.fit, channels=self.channels, reach=reach)
        shape = (self.size, self.size, self.channels)
        return Decoder(decode, heavy=True), replace(
            part, format=part.format or "png", dtype="|u1", shape=shape, axes=("height", "width", "channel")
        )


def _picture(
    content: memoryview, sides: tuple[int, int], fit: Fit, channels: int, reach: tuple[float, float] | None
) -> Array:
    if bytes(content[:6]) == b"\x93NUMPY":
        found = decode_npy(content)
        if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] > 4):
            raise ValueError(f"an array of shape {found.shape}, which is no picture")
        return _coloured(resampled(_eight_bits(found, reach), sides, fit), channels)
    found = decode_scaled(content, sides, fit)
    return _coloured(_eight_bits(found, reach), channels)


def _eight_bits(values: Array, reach: tuple[float, float] | None) -> Array:
    if values.dtype == np.uint8 and reach is None:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    low, high = reach or (float(values.min()), float(values.max()))
    spread = (values.astype(np.float32) - low) * np.float32(255 / ((high - low) or 1))
    found: Array = np.rint(spread.clip(0, 255)).astype(np.uint8)
    return found


def _coloured(values: Array, channels: int) -> Array:
    """uint8 (height, width, channels). An alpha channel is left out."""
    bands = values[..., None] if values.ndim == 2 else values
    bands = bands[..., : 3 if bands.shape[2] > 2 else 1]
    if bands.shape[2] == channels:
        return bands
    if channels == 3:
        return np.repeat(bands, 3, axis=2)
    grey: Array = np.rint(bands.astype(np.float32) @ _LUMA).astype(np.uint8)[..., None]
    return grey
