"""TIFF pictures and whole slides: a page whole, or square windows of it. Only the tiles in a window are read."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.decoders.libraries import damage, require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import tiff_blank
from ropeway_shardgen.formats.bounded import check_array

_GREY = ("MINISBLACK", "MINISWHITE")
_COLOUR = ("RGB", "YCBCR")
"""JPEG tiles are stored as YCbCr; their decoder gives RGB."""

_RATIO = 3000
"""Bytes of pixels per byte of file, at most: LZW, the tightest codec, writes up to 4096 bytes in 12 bits. Without a
bound, damage to a header could take all memory."""


class TiffOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which pixels are a sample."""

    page: int = 0
    """Which page of the file, from 0. The levels of a slide's pyramid are pages."""
    side: int = 0
    """Pixels of a square window; 0: the whole page. What is left beside and below whole windows is not packed."""


class Picture:
    """An opened file."""

    def __init__(self, path: Path) -> None:
        tifffile = require("tifffile", "tiff")
        self.bytes = path.stat().st_size
        with damage(tifffile.TiffFileError):
            self.file: Any = tifffile.TiffFile(path)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @cached_property
    def pages(self) -> int:
        """How many pages there are."""
        return len(self.file.pages)

    def page(self, number: int) -> Any:
        """A page that is a picture and lies in the file as a whole.

        Raises:
            ValueError: there is no such page, it is something else, or it is cut short.
        """
        if not 0 <= number < self.pages:
            raise ValueError(f"there is no page {number}: the file has {self.pages}")
        page = self.file.pages[number]
        kind = getattr(page.photometric, "name", "unknown")
        if (page.samplesperpixel == 1 and kind in _GREY) or (page.samplesperpixel in (3, 4) and kind in _COLOUR):
            self._check_whole(page)
            return page
        raise ValueError(f"pixels of {page.samplesperpixel} {kind} values; grey, RGB and RGBA are read")

    def _check_whole(self, page: Any) -> None:
        ends = [start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if not ends or min(page.databytecounts) < 1 or max(ends) > self.bytes:
            raise ValueError("a TIFF cut short: pixels of the page lie outside the file")
        if page.nbytes > _RATIO * sum(page.databytecounts):
            raise ValueError(f"a page of {page.nbytes} bytes in {sum(page.databytecounts)}: damaged")


_OPENED = Opened(Picture)


def rows(path: Path, options: TiffOptions) -> Iterator[Row]:
    """One row per window: `x`, `y` (its first pixel), and the page's `height`, `width`, `pixel_size` (µm)."""
    page = _OPENED.get(path).page(options.page)
    fields = _fields(page)
    high, wide = (options.side, options.side) if options.side else (page.imagelength, page.imagewidth)
    size = high * wide * page.samplesperpixel * page.dtype.itemsize
    for y in range(0, page.imagelength - high + 1, high):
        for x in range(0, page.imagewidth - wide + 1, wide):
            yield Row({**fields, "x": x, "y": y}, size)


def read(path: Path, fields: Fields, options: TiffOptions) -> Payload:
    """Pixels as stored: (height, width[, channel]), in the dtype of the file.

    Raises:
        ValueError: the page is not a picture, or is cut short; the window is not inside it.
    """
    page = _OPENED.get(path).page(options.page)
    with damage(OSError):
        if options.side:
            x, y = (int(lookup(fields, name) or 0) for name in ("x", "y"))
            pixels = _window(page, x, y, options.side)
        else:
            check_array(page.nbytes)
            pixels = page.asarray()
            pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
    channels = ("red", "green", "blue", "alpha")[: pixels.shape[2]] if pixels.ndim == 3 else ()
    axes = ("height", "width", "channel")[: pixels.ndim]
    return array_payload(pixels, axes, channels=channels, fields=_fields(page))


def _window(page: Any, x: int, y: int, side: int) -> npt.NDArray[Any]:
    if page.planarconfig != require("tifffile", "tiff").PLANARCONFIG.CONTIG:
        raise ValueError("windows of a TIFF whose colours lie in separate planes: pack the page whole")
    if x + side > page.imagewidth or y + side > page.imagelength:
        raise ValueError(f"a window of {side} pixels at ({x}, {y}), outside the page")
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    across = -(-page.imagewidth // wide)
    check_array(tall * wide * page.samplesperpixel * page.dtype.itemsize)
    pixels = np.empty((side, side, page.samplesperpixel), page.dtype)
    for row in range(y // tall, -(-(y + side) // tall)):
        for column in range(x // wide, -(-(x + side) // wide)):
            tile = _tile(page, row * across + column)
            _paste(tile, (row * tall - y, column * wide - x), pixels)
    return pixels[..., 0] if page.samplesperpixel == 1 else pixels


def _tile(page: Any, number: int) -> npt.NDArray[Any]:
    decode, tables, file = page.decode, page.jpegtables, page.parent.filehandle  # the first two may move the file
    file.seek(page.dataoffsets[number])
    tile, _, _ = decode(file.read(page.databytecounts[number]), number, jpegtables=tables)
    if tile is None:
        raise ValueError(f"tile {number} is empty")
    pixels: npt.NDArray[Any] = np.asarray(tile)[0]
    return pixels


def _paste(tile: npt.NDArray[Any], at: tuple[int, int], pixels: npt.NDArray[Any]) -> None:
    """Copy what of a tile (height, width, channel) is inside the window; `at` is its corner there."""
    (top, left), (height, width) = at, tile.shape[:2]
    bottom, right = min(top + height, pixels.shape[0]), min(left + width, pixels.shape[1])
    cut = tile[max(-top, 0) : bottom - top, max(-left, 0) : right - left]
    pixels[max(top, 0) : bottom, max(left, 0) : right] = cut


def _fields(page: Any) -> dict[str, Value]:
    return {"height": page.imagelength, "width": page.imagewidth, "pixel_size": _pixel_size(page)}


def _pixel_size(page: Any) -> float | None:
    """µm, where the file says pixels per centimetre. Pixels per inch are about paper."""
    unit, resolution = page.tags.get("ResolutionUnit"), page.tags.get("XResolution")
    if unit is None or resolution is None or int(unit.value) != 3 or not resolution.value[0]:
        return None
    pixels, centimetres = resolution.value
    return 1e4 * float(centimetres) / float(pixels)


def _raw(path: Path, _key: bytes, parts: Sequence[TiffOptions]) -> Payload:
    """Of a slide, or of several pages, as `slide.tif`: that is no picture to decode whole."""
    picture, pages = _OPENED.get(path), sorted({part.page for part in parts})
    form = "tif" if len(pages) == 1 and not any(part.side for part in parts) else "slide.tif"
    with damage():
        return tiff_blank.kept(path, [picture.page(number) for number in pages], form)


ADAPTER = Adapter(
    options=TiffOptions,
    read=read,
    rows=rows,
    locators=lambda options: ("x", "y") if options.side else (),
    raw=_raw,
)
