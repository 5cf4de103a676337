"""Regions of a label image: bounding boxes of connected areas of one code, and the pixels in such a box.

`rows` lists the boxes of a label image; `read` cuts a box out of that image, or out of the picture it belongs to. Boxes
that are too large are cut into windows of equal size that overlap. The rule is that of CLIMB's BCSS loader
(src/datasets/pathology/bcss.py in DDVD233/CLIMB), but for an area inside a hole of another one of its code, which it
leaves out and this does not.
"""

import io
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ropeway.decoders.libraries import damage, require
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.fields import Fields, lookup

_PNG = b"\x89PNG\r\n\x1a\n"
_LOCATORS = ("x", "y", "width", "height")
_COLOURS = {"RGB": ("red", "green", "blue"), "RGBA": ("red", "green", "blue", "alpha")}


class RegionsOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which regions of a label image are samples. Lengths are pixels."""

    codes: tuple[int, ...] = ()
    """Values whose connected areas are wanted; none given: all but 0."""
    smallest: int = 1
    """Areas whose box is narrower or lower than this are left out."""
    largest: int = 1024
    """Boxes wider or higher than this are cut."""
    overlap: int = 0
    """How much of a window the next one of the same box repeats, at least."""


def rows(path: Path, options: RegionsOptions) -> Iterator[Row]:
    """One row per window: `code`, `region` and `window` (both from 0), `x`, `y`, `width`, `height`, `coverage`.

    `coverage` is the share of the window's pixels that have the code.
    """
    if not 0 <= options.overlap < options.largest:
        raise ValueError(f"an overlap of {options.overlap} pixels in windows of {options.largest}")
    mask = _pixels(path)
    if mask.ndim != 2:
        raise ValueError("a label image has one value per pixel, and this one has colours")
    region = 0
    for code in options.codes or [int(value) for value in np.unique(mask) if value]:
        for top, left, height, width in _boxes(mask == code, options.smallest):
            for window, (y, x, high, wide) in enumerate(_windows(top, left, height, width, options)):
                coverage = float(np.mean(mask[y : y + high, x : x + wide] == code))
                box = {"x": x, "y": y, "width": wide, "height": high, "coverage": coverage}
                yield Row({"code": code, "region": region, "window": window, **box}, wide * high)
            region += 1


def read(path: Path, fields: Fields, _options: RegionsOptions) -> Payload:
    """The pixels in the box, as stored: uint8 (height, width[, channel]).

    Raises:
        ValueError: the box is not inside the picture, or the picture is cut short or has another kind of pixels.
    """
    pixels = _pixels(path)
    x, y, width, height = (int(lookup(fields, name) or 0) for name in _LOCATORS)
    if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
        size = f"{pixels.shape[1]} × {pixels.shape[0]}"
        raise ValueError(f"a region at ({x}, {y}) of {width} × {height} pixels, outside the {size} of the picture")
    cut = pixels[y : y + height, x : x + width]
    channels = _COLOURS["RGB" if cut.shape[2] == 3 else "RGBA"] if cut.ndim == 3 else ()
    return array_payload(cut, ("height", "width", "channel")[: cut.ndim], channels=channels)


def _boxes(area: npt.NDArray[np.bool_], smallest: int) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, height and width of each connected area, corners touching; from the top down."""
    ndimage = require("scipy.ndimage", "regions")
    labelled, _ = ndimage.label(area, structure=np.ones((3, 3)))
    for down, across in ndimage.find_objects(labelled):
        height, width = down.stop - down.start, across.stop - across.start
        if min(height, width) >= smallest:
            yield down.start, across.start, height, width


def _windows(
    top: int, left: int, height: int, width: int, options: RegionsOptions
) -> Iterator[tuple[int, int, int, int]]:
    high, wide = min(height, options.largest), min(width, options.largest)
    for down in _starts(height, options):
        for across in _starts(width, options):
            yield top + down, left + across, high, wide


def _starts(length: int, options: RegionsOptions) -> list[int]:
    """Where windows begin, evenly spread, so that the last one ends with the box."""
    if length <= options.largest:
        return [0]
    count = math.ceil((length - options.overlap) / (options.largest - options.overlap))
    return [place * (length - options.largest) // (count - 1) for place in range(count)]


def _pixels(path: Path) -> npt.NDArray[Any]:
    stat = path.stat()
    return _decoded(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _decoded(path: Path, _changed: int, _size: int) -> npt.NDArray[Any]:
    """A whole picture. The last two stay: an image and its labels, of which many small regions are read in turn."""
    content = path.read_bytes()
    if not content.startswith(_PNG):
        raise ValueError("not a PNG")
    with damage(OSError, Image.DecompressionBombError), Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        if image.mode not in ("L", "P", *_COLOURS):
            raise ValueError(f"a picture with {image.mode} pixels; regions are cut out of grey, palette, RGB and RGBA")
        return np.array(image)


ADAPTER = Adapter(options=RegionsOptions, read=read, rows=rows, locators=lambda _: _LOCATORS)
