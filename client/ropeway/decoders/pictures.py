"""Pictures, as stored: JPEG through libjpeg-turbo (simplejpeg), everything else through Pillow.

JPEG is decoded with the accurate DCT and interpolated chroma, libjpeg-turbo's defaults: bit for bit Pillow's pixels,
1.4 times as fast. The fast DCT and plain chroma would bring 7 % more, at errors of up to 26 of 255.
"""

import io
import struct
from typing import Any, NamedTuple

import numpy as np

from ropeway.decoders.arrays import copy_into
from ropeway.decoders.libraries import damage
from ropeway.samples import Array

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
"""All that Pillow may take content for: some of its other formats start programs."""

_FRAMES = range(0xC0, 0xD0)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)
"""JPEG markers of a frame header, and those among them that are something else."""

_FRAME = struct.Struct(">BHHB")
"""Bits, height, width and bands, in a frame header."""

_PIXELS = 512
"""No JPEG has more pixels per byte: each block of 64 takes a bit. Else damage to a header could take all memory."""


class Jpeg(NamedTuple):
    """The frame header of a JPEG.

    Attributes:
        process: 0 baseline, 1 extended, 2 progressive, …: the marker's number.
        bits: of a value.
        height, width: pixels.
        bands: 1 grey, 3 colour, 4 CMYK.
    """

    process: int
    bits: int
    height: int
    width: int
    bands: int

    @property
    def turbo(self) -> bool:
        """Whether libjpeg-turbo makes grey or RGB of it."""
        return self.process <= 2 and self.bits == 8 and self.bands in (1, 3) and self.height > 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) when grey, else (height, width, 3)."""
        return (self.height, self.width) if self.bands == 1 else (self.height, self.width, 3)


def jpeg_header(content: bytes | memoryview) -> Jpeg | None:
    """The frame header, or None when the content is no JPEG at all.

    Raises:
        ValueError: it begins as a JPEG, but has no frame, or more pixels than fit into its bytes.
    """
    if bytes(content[:3]) != b"\xff\xd8\xff":
        return None
    at, end = 2, len(content)
    while at + 10 <= end and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
        elif marker in _FRAMES and marker not in _NO_FRAMES:
            bits, height, width, bands = _FRAME.unpack_from(content, at + 4)
            if height * width > _PIXELS * end:
                raise ValueError(f"a JPEG of {height} × {width} pixels in {end} bytes: damaged")
            return Jpeg(marker - 0xC0, bits, height, width, bands)
        else:
            at += 2 + (content[at + 2] << 8 | content[at + 3])
    raise ValueError("a JPEG without a frame header: cut short or damaged")


def decode_picture(content: memoryview) -> Array:
    """A picture as stored, whatever its format; its own bytes tell, not its name.

    Returns:
        (height, width) when grey, else (height, width, channel): RGB, RGBA, or grey and alpha. Palettes and CMYK become
        RGB, with alpha where they have it. uint8; uint16, int32 or float32 where that is stored; bool for one bit. More
        than one page or frame: one more axis in front. An orientation in EXIF is not applied.
    """
    header = jpeg_header(content)
    if header is not None and header.turbo:
        return decode_jpeg(content, header, 0, 0)
    return _pillow(content)


def decode_picture_into(content: memoryview, target: Array) -> None:
    """A picture into an array of its shape and dtype; a JPEG without a copy, where that is C-contiguous."""
    header = jpeg_header(content)
    if header is None or not header.turbo or not target.flags.c_contiguous:
        copy_into(decode_picture(content), target)
        return
    if (header.shape, np.dtype(np.uint8)) != (target.shape, target.dtype):
        raise ValueError(f"uint8 of shape {header.shape} where {target.dtype} of shape {target.shape} is due")
    import simplejpeg

    simplejpeg.decode_jpeg(content, colorspace=_colours(header), buffer=target)


def decode_jpeg(content: memoryview, header: Jpeg, height: int, width: int) -> Array:
    """A JPEG, scaled down in the DCT to the smallest multiple of 1/8 that is not below this height and width."""
    import simplejpeg

    array: Array = simplejpeg.decode_jpeg(content, colorspace=_colours(header), min_height=height, min_width=width)
    return array[..., 0] if header.bands == 1 else array


def _colours(header: Jpeg) -> str:
    return "GRAY" if header.bands == 1 else "RGB"


def _pillow(content: memoryview) -> Array:
    from PIL import Image

    with damage(Image.DecompressionBombError), Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
        _refuse_reduced(picture)
        pages = getattr(picture, "n_frames", 1) if picture.format != "MPO" else 1
        if pages == 1:
            return _pixels(picture)
        return np.stack([_pixels(_turned(picture, page)) for page in range(pages)])


def _turned(picture: Any, page: int) -> Any:
    picture.seek(page)
    return picture


def _pixels(picture: Any) -> Array:
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA" if picture.mode == "PA" or "transparency" in picture.info else "RGB")
    elif picture.mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "F") and not picture.mode.startswith("I;16"):
        picture = picture.convert("RGB")
    array = np.array(picture)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _refuse_reduced(picture: Any) -> None:
    """Pillow reads colours of 16 bits as 8 bits, and says nothing."""
    bits: tuple[int, ...] = ()
    if picture.format == "PNG" and picture.tile:
        bits = (16,) if "16" in str(picture.tile[0].args) else ()
    elif picture.format == "TIFF":
        bits = picture.tag_v2.get(258, ())
    if max(bits, default=8) > 8 and len(picture.getbands()) > 1:
        raise ValueError(f"colours of {max(bits)} bits, which Pillow would cut to 8: give a decoder of your own")
