"""Text that stands in pictures: found and read by RapidOCR on this machine, whose models come inside its package.

The DICOM standard leaves text in pixels to its Clean Pixel Data Option (PS3.15, Annex E.3.1), and no header says
reliably whether there is some. About a second of one core for a picture of 512².
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ropeway.decoders.libraries import damage, require
from ropeway.privacy_words import Words
from ropeway.samples import Array

KINDS = frozenset({"image", "dicom", "video", "volume"})
"""Kinds of parts that are looked at."""
RULE = "text in the picture"

_SURE = 0.6
"""Of RapidOCR's scores from 0 to 1: below, specks and tissue are taken for signs."""
_SIGNS = re.compile(r"[^\W_]")
_MARKERS = re.compile("left|right|[lr]?mlo|[lr]?cc|ap|pa|lat|lateral|erect|supine|prone|portable|mobile|standing", re.I)
"""What says which side or view a radiograph shows."""
_FRAMES = 3
"""Frames or slices of one part that are looked at, apart from what is brightest over all of them."""


class TextReader:
    """Reads text in pictures. Making one loads the models (seconds, 0.3 GB).

    Raises:
        UsageError: RapidOCR is not installed.
    """

    def __init__(self) -> None:
        require("onnxruntime", "ocr")
        rapidocr = require("rapidocr", "ocr")
        self._engine = rapidocr.RapidOCR(params={"Global.log_level": "error", "Global.use_cls": False})

    def words(self, values: Array) -> Iterator[Words]:
        """The text of a decoded part, of which each place is told once; markers of side and view are left out.

        Args:
            values: one picture, (height, width) or (height, width, colours ≤ 4), or several of them on axes before.

        Raises:
            ValueError: it is no picture.
        """
        for place, picture in pictures(values):
            with damage():
                found = self._engine(picture, use_cls=False)
            for text, score in zip(found.txts or (), found.scores or (), strict=True):
                if score >= _SURE and _tells(text):
                    yield Words(place, text)


def pictures(values: Array) -> Iterator[tuple[str, Array]]:
    """What is looked at of a part: (where it is, uint8 (height, width, 3)).

    Of several frames or slices: the first, the middle and the last, and the brightest value of each pixel over all of
    them, in which text that stands in a few is seen too.

    Raises:
        ValueError: the array is no picture.
    """
    if values.dtype.kind not in "uifb" or not 2 <= values.ndim <= 4 or 0 in values.shape:
        raise ValueError(f"an array {values.shape} of {values.dtype} is no picture")
    coloured = values.ndim > 2 and values.shape[-1] <= 4
    if values.ndim == 2 + coloured:
        yield "the picture", _shown(values, coloured)
        return
    values = values.reshape(-1, *values.shape[-2 - coloured :])
    last = len(values) - 1
    for number in sorted({round(last * step / (_FRAMES - 1)) for step in range(_FRAMES)}):
        yield f"frame {number}", _shown(values[number], coloured)
    if last >= _FRAMES:
        yield "the brightest of all frames", _shown(values.max(axis=0), coloured)


def _shown(picture: Array, coloured: bool) -> Array:
    """As a screen shows it: darkest value black, brightest white."""
    colours: Array = picture if coloured else picture[..., None]
    colours = colours[..., :3] if colours.shape[-1] >= 3 else colours[..., :1]
    if colours.dtype != np.uint8:
        known = np.nan_to_num(colours.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(known.min()), float(known.max())
        colours = ((known - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))


def _tells(text: Any) -> bool:
    """Whether a text is more than a speck or a marker: three letters or digits at least."""
    signs = "".join(_SIGNS.findall(text))
    return len(signs) >= 3 and not _MARKERS.fullmatch(signs)
