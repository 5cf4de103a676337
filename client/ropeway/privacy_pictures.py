"""The pictures in a part's content: a decoded one, those in a zip one after the other, or a slide as seen from afar.

Memory is bounded: slices are looked at so many at a time, and of a slide only a few million pixels are kept.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ropeway.decode import DECODERS
from ropeway.decoders.libraries import damage, require
from ropeway.samples import Array

_TOGETHER = 1 << 29
"""Bytes of slices that are looked at as one volume."""
_LARGEST = 1 << 32
"""Bytes of a file in a zip."""
_SIDE = 2048
"""Pixels: of the longer side of a slide less than twice as many are looked at."""
_NO_PICTURES = frozenset(("json", "txt", "csv", "tsv", "md", "xml", "html", "hea", "dat"))


class Pictures(NamedTuple):
    """What can be looked at, or what cannot.

    Attributes:
        place: where it is in the content, or "".
        values: one picture or several, as the decoders give them; None where nothing here can show them.
        unseen: what is not looked at, in words, or "".
    """

    place: str
    values: Array | None
    unseen: str = ""


def pictures_in(form: str, content: memoryview) -> Iterator[Pictures]:
    """The pictures of a part's content.

    Args:
        form: the part's format.
        content: the part's bytes.

    Raises:
        ValueError, OSError: it is damaged.
        UsageError: a library that decodes it is not installed.
    """
    if form == "zip":
        yield from _zipped(content)
    elif form == "slide.tif":
        yield from _slide(content)
    elif form in DECODERS:
        yield Pictures("", DECODERS[form].decode(content))
    else:
        yield Pictures("", None, form)


def _zipped(content: memoryview) -> Iterator[Pictures]:
    """Pictures of one size that follow each other, such as the slices of a series, are a volume."""
    names: list[str] = []
    slices: list[Array] = []
    with damage(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            form = entry.filename.rpartition(".")[2].lower()
            if form in _NO_PICTURES or entry.is_dir():
                continue
            if form not in DECODERS or entry.file_size > _LARGEST:
                yield Pictures(entry.filename, None, f"{form} in a zip")
                continue
            values: Any = DECODERS[form].decode(memoryview(archive.read(entry)))
            if slices and not _goes_with(values, slices):
                yield _volume(names, slices)
                names, slices = [], []
            names.append(entry.filename)
            slices.append(values)
        if slices:
            yield _volume(names, slices)


def _goes_with(values: Array, slices: list[Array]) -> bool:
    first, flat = slices[0], values.ndim == 2 or (values.ndim == 3 and values.shape[-1] <= 4)
    alike = flat and (values.shape, values.dtype) == (first.shape, first.dtype)
    return alike and sum(one.nbytes for one in slices) + values.nbytes <= _TOGETHER


def _volume(names: list[str], slices: list[Array]) -> Pictures:
    if len(slices) == 1:
        return Pictures(names[0], slices[0])
    return Pictures(f"{names[0]} to {names[-1]}", np.stack(slices))


def _slide(content: memoryview) -> Iterator[Pictures]:
    """Each page; of a large one every so many-th pixel, in which small text is not to be read."""
    tifffile = require("tifffile", "tiff")
    with damage(tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(content)) as file:
        for number, page in enumerate(file.pages):
            step = max(1, max(page.imagelength, page.imagewidth) // _SIDE)
            yield Pictures(f"page {number}", _from_afar(page, step))
            if step > 1:
                yield Pictures(f"page {number}", None, "slide.tif at full size")


def _from_afar(page: Any, step: int) -> Array:
    """Every `step`-th pixel of each side, decoded piece by piece."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    shape = (planes, -(-page.imagelength // step), -(-page.imagewidth // step), page.samplesperpixel // planes)
    seen: Array = np.zeros(shape, page.dtype)
    for piece, (plane, _, top, left, _), _ in page.segments():
        if piece is not None:
            own = piece[0, -top % step :: step, -left % step :: step]
            y, x = -(-top // step), -(-left // step)
            room = seen[plane, y : y + own.shape[0], x : x + own.shape[1]]
            room[...] = own[: room.shape[0], : room.shape[1]]
    values = seen[0] if planes == 1 else np.moveaxis(seen[..., 0], 0, -1)
    return values[..., 0] if values.shape[-1] == 1 else values
