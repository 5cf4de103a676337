"""What is read of ordinary JPEGs without Pillow is what Pillow finds."""

import io
from typing import Any

import pytest
from PIL import Image

from ropeway.decoders.pictures import jpeg_header
from ropeway.index import Value
from ropeway_shardgen.adapters import image


def plain(content: bytes) -> dict[str, Value] | None:
    """What is found without Pillow."""
    return image._plain_jpeg(content, jpeg_header(memoryview(content)), image._scan(content))


def jpeg(mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((37, 21), 80).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


ORDINARY = [
    *(jpeg(mode, progressive=progressive) for mode in ("L", "RGB", "CMYK") for progressive in (False, True)),
    jpeg("RGB", comment=b"Exif without its zeros", dpi=(300, 300), icc_profile=b"x" * 70_000),
    jpeg("L") + b"bytes behind the end",
]


@pytest.mark.parametrize("content", ORDINARY)
def test_ordinary_files(content: bytes) -> None:
    found = plain(content)
    assert found is not None
    assert found == image._header(io.BytesIO(content))


def test_others_are_left_to_pillow() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    png = io.BytesIO()
    Image.new("L", (3, 3)).save(png, "PNG")
    twelve_bits = bytearray(jpeg("L"))
    twelve_bits[twelve_bits.index(b"\xff\xc0") + 4] = 12
    for content in (jpeg("RGB", exif=exif), png.getvalue(), bytes(twelve_bits)):
        assert plain(content) is None
    assert image._header(io.BytesIO(jpeg("RGB", exif=exif)))["orientation"] == 6
