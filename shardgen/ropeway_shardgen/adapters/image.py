"""JPEG and PNG images, passed on byte for byte, whatever their mode: 16 bits, palette and CMYK stay what they are.

Only headers are read. An orientation in EXIF is a field and is not applied; what is stored is what the file holds.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from ropeway.decoders.libraries import damage
from ropeway.decoders.pictures import Jpeg, jpeg_header
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.whole import whole
from ropeway_shardgen.fields import Fields

_START, _END, _SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
"""Markers of a JPEG: its first and last bytes, and the segment before coded pixels (ITU-T T.81, table B.1)."""
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
_ORDINARY = (0, 1, 2)
"""Baseline, extended and progressive frames; the others hold lossless or arithmetic coding."""
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
"""Components → Pillow's word."""
_DEFLATED = 8 * 1032
"""Most pixels that a byte of a PNG can stand for: deflate makes at most 1032 bytes of one, of 8 pixels each."""


class ImageOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What else to find out about an image."""

    digest: bool = False
    """Whether to give the field `digest`, sha256 of the file: images that are the same file are found by it."""


def rows(path: Path, options: ImageOptions) -> Iterator[Row]:
    """One row: `height`, `width` (pixels), `mode` (Pillow's word), `bits` (of a value), `orientation` (EXIF, 1 to 8:
    1 where nothing is said, None where that cannot be read)."""
    with path.open("rb") as file:
        fields = _header(file)
    if options.digest:
        fields["digest"] = hashlib.sha256(path.read_bytes()).hexdigest()
    yield Row(fields, path.stat().st_size)


def read(path: Path, _found: Fields, options: ImageOptions) -> Payload:
    """The file's bytes; shape is (height, width) or (height, width, channel).

    Raises:
        ValueError: it is neither JPEG nor PNG, it is cut short, or its header promises more than its bytes can hold.
    """
    return of_bytes(whole(path), options)


def of_bytes(content: bytes, options: ImageOptions) -> Payload:
    """As `read`, of a file's bytes."""
    form = "jpg" if content.startswith(_START) else "png"
    fields = _jpeg(content) if form == "jpg" else _header(BytesIO(content))
    if options.digest:
        fields["digest"] = hashlib.sha256(content).hexdigest()
    height, width = int(fields["height"] or 0), int(fields["width"] or 0)
    if form == "png":
        _check_png(content, height, width)
    bands = Image.getmodebands(str(fields["mode"]))
    return Payload(
        content=content,
        format=form,
        shape=(height, width) if bands == 1 else (height, width, bands),
        axes=("height", "width") if bands == 1 else ("height", "width", "channel"),
        fields=fields,
    )


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """An image of which no pixel is decoded. Pillow refuses sizes that are made to exhaust memory."""
    with warnings.catch_warnings(), damage(Image.DecompressionBombError):
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=("JPEG", "PNG"))
        except UnidentifiedImageError:
            raise ValueError("neither a JPEG nor a PNG, or one without a whole header") from None
        except OSError as error:
            raise ValueError(f"the header of an image cannot be read: {error}") from error
        with image:
            yield image


def _header(file: BinaryIO) -> dict[str, Value]:
    with _opened(file) as image:
        bits = getattr(image, "bits", None) or _png_bits(file)
        return {
            "height": image.height,
            "width": image.width,
            "mode": image.mode,
            "bits": bits,
            "orientation": _orientation(image.info.get("exif")),
        }


def _png_bits(file: BinaryIO) -> int:
    file.seek(24)  # signature 8, length and name 8, width and height 8
    return file.read(1)[0]


def _orientation(exif: bytes | None) -> int | None:
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        with damage():
            tags.load(exif)
            found = tags.get(_ORIENTATION, 1)
    except (ValueError, OSError):
        return None
    return found if isinstance(found, int) and 1 <= found <= 8 else None


def _jpeg(content: bytes) -> dict[str, Value]:
    """What `_header` finds in a JPEG, whose end marker is looked for behind the first scan: in a whole file it is found
    at once, at the end."""
    frame, scan = jpeg_header(content), _scan(content)
    fields = _plain_jpeg(content, frame, scan) or _header(BytesIO(content))
    if content.rfind(_END, scan) < 0:
        raise ValueError("a JPEG cut short: its end marker is missing")
    return fields


def _plain_jpeg(content: bytes, frame: Jpeg | None, scan: int) -> dict[str, Value] | None:
    """What `_header` finds in an ordinary JPEG, at a tenth of the cost; None for all that Pillow should look at."""
    if (
        frame is None
        or frame.process not in _ORDINARY
        or frame.bits != 8
        or frame.bands not in _MODES
        or not frame.height
    ):
        return None
    if content.find(_EXIF, 0, scan) >= 0:
        return None
    mode = _MODES[frame.bands]
    return {"height": frame.height, "width": frame.width, "mode": mode, "bits": frame.bits, "orientation": 1}


def _scan(content: bytes) -> int:
    """Where the first scan begins: a preview in EXIF has scans of its own, before it."""
    at, last = len(_START), len(content) - 4
    while at <= last and (marker := content[at + 1]) != _SCAN:
        at += 1 if marker == 0xFF else 2 + (content[at + 2] << 8 | content[at + 3])
    return at


def _check_png(content: bytes, height: int, width: int) -> None:
    if height * width > _DEFLATED * len(content):
        raise ValueError(f"a PNG of {height} × {width} pixels in {len(content)} bytes: damaged")
    try:
        with _opened(BytesIO(content)) as image:
            image.verify()
    except (ValueError, OSError) as error:
        raise ValueError(f"a PNG cut short or damaged: {error}") from error


ADAPTER = Adapter(options=ImageOptions, read=read, of_bytes=of_bytes, rows=rows)
