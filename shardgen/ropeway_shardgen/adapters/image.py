"""JPEG and PNG images, passed on byte for byte; only the header is read."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.fields import Fields

_FORMATS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png"}


class ImageOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Images need no telling."""


def rows(path: Path, _options: ImageOptions) -> Iterator[Row]:
    """One row: the fields `height`, `width`, `mode`."""
    with Image.open(path) as image:
        yield Row(_fields(image), path.stat().st_size)


def read(path: Path, _found: Fields, _options: ImageOptions) -> Payload:
    """The file's bytes; shape is (height, width) or (height, width, channel).

    Raises:
        ValueError: it is not a JPEG or PNG, or it is cut short.
    """
    content = path.read_bytes()
    with Image.open(BytesIO(content)) as image:
        form = _FORMATS.get(image.format or "")
        if form is None:
            raise ValueError(f"an image in {image.format} format; only JPEG and PNG are packed as they are")
        header = _fields(image)
        bands = len(image.getbands())
        if form == "png":
            image.verify()
    if form == "jpg" and content.rfind(b"\xff\xd9") < 0:
        raise ValueError("a JPEG cut short: its end marker is missing")
    flat = (int(header["height"]), int(header["width"]))
    return Payload(
        content=content,
        format=form,
        shape=flat if bands == 1 else (*flat, bands),
        axes=("height", "width") if bands == 1 else ("height", "width", "channel"),
        fields=header,
    )


def _fields(image: Image.Image) -> dict[str, int | str]:
    return {"height": image.height, "width": image.width, "mode": image.mode}


ADAPTER = Adapter(options=ImageOptions, read=read, rows=rows)
