"""Label images as arrays of values: GIF, BMP, TIFF and PNG with one value per pixel.

For masks in formats that batches do not decode (GIF), or with a palette. A palette of greys stands for its greys (a GIF
always has one); in a palette of colours, which is only for show, the value is the position. A mask in PNG without a
palette may as well stay as it is (`image`). JPEG changes values at every edge, so it is refused: pack it by `image`,
and say what threshold tells the values apart.
"""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ropeway.decoders.libraries import damage
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, array_payload
from ropeway_shardgen.fields import Fields

_FORMATS = ("GIF", "BMP", "TIFF", "PNG")
_MODES = ("1", "L", "P", "I;16", "I;16B", "I")
"""One value per pixel, or per entry of a palette."""


class MaskOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Label images need no telling."""


def read(path: Path, _fields: Fields, _options: MaskOptions) -> Payload:
    """(height, width), bool for one bit, else uint8, uint16 or int32.

    Raises:
        ValueError: it has colours or several frames, or it is cut short or in another format.
    """
    content = path.read_bytes()
    with damage(OSError, Image.DecompressionBombError), _opened(content) as image:
        if image.mode not in _MODES:
            raise ValueError(f"a label image has one value per pixel, and this one is {image.mode}")
        if getattr(image, "n_frames", 1) != 1:
            raise ValueError("a label image with several frames")
        values = np.array(image)
        greys = _greys(image)
    values = values if greys is None else greys[values]
    return array_payload(values, ("height", "width"), fields={"height": values.shape[0], "width": values.shape[1]})


def _opened(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"not a picture in one of the formats {', '.join(_FORMATS)}") from None


def _greys(image: Image.Image) -> npt.NDArray[np.uint8] | None:
    """The 256 greys of a palette that has no other colours."""
    if image.mode != "P":
        return None
    colours = np.zeros((256, 3), np.uint8)
    told = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours[: len(told)] = told
    return colours[:, 0] if (colours == colours[:, :1]).all() else None


ADAPTER = Adapter(options=MaskOptions, read=read)
