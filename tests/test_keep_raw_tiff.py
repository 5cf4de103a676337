"""Original TIFFs: pixels as they are encoded, the pages that a recipe reads, and no tag that pixels do without."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import contents
from adapter_reading import Array, read, values
from originals import findings, original
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.formats import bounded, jpeg_blank

PLANTED = "Petra Planted"
TAGS: list[Any] = [
    (315, 2, 0, f"{PLANTED} the artist", True),
    (316, 2, 0, f"{PLANTED} the computer", True),
    (263, 2, 0, f"{PLANTED} in another type", True),
    (700, 1, len(PLANTED), PLANTED.encode(), True),
    (50000, 7, len(PLANTED), PLANTED.encode(), True),
]
"""A name in tags of their own types, in XMP, in a private one."""


def slide(path: Path, pixels: Array, **how: Any) -> Path:
    """Pages: a slide, its half, and a label, all of them with names and times."""
    layout = {name: how.pop(name) for name in ("bigtiff", "byteorder") if name in how}
    told: dict[str, Any] = {
        "description": f"Aperio {PLANTED}", "software": "PLANTED", "datetime": "2001:02:03 04:05:06", "metadata": None,
        "extratags": TAGS,
    }  # fmt: skip
    with tifffile.TiffWriter(path, **layout) as file:
        file.write(pixels, **told, **how)
        file.write(pixels[::2, ::2] if pixels.shape[0] > 4 else pixels, **told)
        file.write(np.full((8, 8), 7, np.uint8), compression=None, **told)
    return path


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "tiles": {"tile": (32, 48), "compression": "zlib", "predictor": True},
    "jpeg": {"tile": (32, 48), "compression": "jpeg"},
    "big": {"bigtiff": True, "tile": (32, 32)},
    "big-endian": {"byteorder": ">", "compression": "packbits"},
    "resolution": {"resolution": (40000, 40000), "resolutionunit": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_page_is_kept_with_its_pixels_as_they_are(tmp_path: Path, form: str) -> None:
    path = slide(tmp_path / "x.tif", contents.smooth(90, 130), **dict(FORMS[form]))
    found = original("tiff", path)
    with tifffile.TiffFile(path) as before, tifffile.TiffFile(io.BytesIO(found.content)) as after:
        assert (found.format, len(before.pages), len(after.pages)) == ("tif", 3, 1)
        old, new = before.pages[0], after.pages[0]
        np.testing.assert_array_equal(new.asarray(), old.asarray(), strict=True)
        raw = path.read_bytes()
        for start, size in zip(old.dataoffsets, old.databytecounts, strict=True):
            assert found.content[start : start + size] == raw[start : start + size]
        tags: Any = new
        assert {tag.code for tag in tags.tags} & {270, 305, 306, 315, 316, 700, 34665, 50000} == set()
    with Image.open(io.BytesIO(found.content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), values(read("tiff", path)))
    assert b"planted" not in found.content.lower()
    assert b"2001:02:03" not in found.content
    assert bytes([7]) * 64 not in found.content
    assert findings("tif", found.content, PLANTED) == []
    assert {"EXIF Artist: listed identifier", "EXIF DateTime: date", "beside the pixels: listed identifier"} <= {
        *findings("tif", raw, PLANTED)
    }
    (tmp_path / "again.tif").write_bytes(found.content)
    again, old_fields = read("tiff", tmp_path / "again.tif"), read("tiff", path).fields
    assert again.fields == old_fields


def test_colours_in_planes_and_grey_of_16_bits(tmp_path: Path) -> None:
    pixels = contents.smooth(20, 30)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "b.tif", pixels[..., 0].astype(np.uint16) * 99, description=PLANTED)
    for name in ("a.tif", "b.tif"):
        found = original("tiff", tmp_path / name)
        np.testing.assert_array_equal(
            tifffile.imread(io.BytesIO(found.content)), tifffile.imread(tmp_path / name), strict=True
        )
        assert findings("tif", found.content, PLANTED) == []


def test_of_a_slide_the_pages_that_parts_read_are_kept(tmp_path: Path) -> None:
    pixels = contents.smooth(90, 130)
    path = slide(tmp_path / "x.tif", pixels, tile=(32, 32))
    found = original("tiff", path, {"side": 32}, {"page": 1, "side": 16})
    assert found.format == "slide.tif"
    with tifffile.TiffFile(io.BytesIO(found.content)) as file:
        assert [page.shape for page in file.pages] == [(90, 130, 3), (45, 65, 3)]
        np.testing.assert_array_equal(file.pages[1].asarray(), pixels[::2, ::2])
    assert original("tiff", path, {"page": 1}).format == "tif"
    assert original("tiff", path, {"page": 1}, {"page": 0}).format == "slide.tif"
    assert findings("slide.tif", found.content, PLANTED) == []


def test_comments_inside_jpeg_tiles_are_blanked(tmp_path: Path) -> None:
    """A tile as a camera writes it: with a comment, an EXIF segment and JFIF."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[315] = PLANTED
    Image.fromarray(contents.smooth(32, 32)).save(file, "jpeg", comment=PLANTED.encode(), exif=exif)
    tile = file.getvalue()
    assert tile.count(PLANTED.encode()) == 2
    tifffile.imwrite(
        tmp_path / "x.tif", iter([tile]), shape=(32, 32, 3), dtype="u1", tile=(32, 32), compression="jpeg",
        photometric="ycbcr", subsampling=(2, 2), metadata=None,
    )  # fmt: skip
    found = original("tiff", tmp_path / "x.tif")
    assert PLANTED.encode() not in found.content
    np.testing.assert_array_equal(
        tifffile.imread(io.BytesIO(found.content)), tifffile.imread(tmp_path / "x.tif"), strict=True
    )
    raw = (tmp_path / "x.tif").read_bytes()
    assert findings("tif", raw, PLANTED).count("compressed pixels: listed identifier") == 2
    assert findings("tif", found.content, PLANTED) == []


@pytest.mark.parametrize("coding", [None, "zlib", "jpeg"])
@pytest.mark.parametrize("tiled", [True, False])
def test_what_follows_pixels_in_a_strip_or_tile_is_blanked(tmp_path: Path, coding: str | None, tiled: bool) -> None:
    pixels = contents.smooth(48, 64)
    how: dict[str, Any] = {"tile": (32, 32)} if tiled else {"rowsperstrip": 32}
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=coding, photometric="rgb", metadata=None, **how)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page: Any = file.pages[0]
        last, size = page.dataoffsets[-1], page.databytecounts[-1]
        sizes = page.tags["TileByteCounts" if tiled else "StripByteCounts"]
        where = sizes.valueoffset + sizes.valuebytecount * (len(page.dataoffsets) - 1) // len(page.dataoffsets)
        form = {3: "<H", 4: "<I"}[int(sizes.dtype)]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    assert last + size == len(content)
    struct.pack_into(form, content, where, size + len(PLANTED))
    (tmp_path / "a.tif").write_bytes(content + PLANTED.encode())
    found = original("tiff", tmp_path / "a.tif").content
    assert PLANTED.encode() not in found
    before, after = tifffile.imread(tmp_path / "a.tif"), tifffile.imread(io.BytesIO(found))
    np.testing.assert_array_equal(after, before, strict=True)


def test_room_in_tags_and_numbers_that_pixels_do_without_are_blanked(tmp_path: Path) -> None:
    letters = tuple(PLANTED.encode())
    tifffile.imwrite(
        tmp_path / "a.tif", contents.smooth(8, 8), metadata=None, bigtiff=True,
        extratags=[(301, 3, 13, letters, True), (266, 3, 13, letters, True), (274, 3, 1, 1, True)],
    )  # fmt: skip
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        where: int = file.pages[0].tags["Orientation"].valueoffset  # type: ignore[union-attr]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[where + 2 : where + 8] = PLANTED[:6].encode()
    (tmp_path / "a.tif").write_bytes(content)
    found = original("tiff", tmp_path / "a.tif").content
    assert PLANTED[:5].encode() not in found.replace(b"\0", b"")
    with tifffile.TiffFile(io.BytesIO(found)) as file:
        assert {tag.code for tag in file.pages[0].tags} & {301, 266, 274} == {274}  # type: ignore[union-attr]
        np.testing.assert_array_equal(file.asarray(), contents.smooth(8, 8))


def jpeg(*segments: tuple[int, bytes], between: bytes = b"", after: bytes = b"") -> bytes:
    """A progressive JPEG with segments at its beginning, before its second scan, and behind its end."""
    file = io.BytesIO()
    Image.fromarray(contents.smooth(32, 32)).save(file, "jpeg", progressive=True)
    content = file.getvalue()
    second = content.rindex(b"\xff\xda")
    told = b"".join(struct.pack(">2BH", 0xFF, marker, 2 + len(body)) + body for marker, body in segments)
    return content[:2] + told + content[2:second] + between + content[second:] + after


def test_names_anywhere_in_a_jpeg_are_blanked() -> None:
    name = PLANTED.encode()
    comment = struct.pack(">2BH", 0xFF, 0xFE, 2 + len(name)) + name
    jfif = b"JFIF\0" + bytes((1, 1, 0, 0, 1, 0, 1, 2, 2)) + name[:12]  # a thumbnail of 2 x 2
    told = ((0xE0, jfif), (0xE0, name), (0xEE, b"Adobe" + bytes(7) + name), (0xEE, name), (0xF0, name), (0xED, name))
    content = jpeg(*told, between=comment, after=name)
    assert content.count(name[:12]) == 8
    blanked = bytearray(content)
    jpeg_blank.blank(memoryview(blanked))
    assert name[:5] not in blanked
    assert b"JFIF\0\1\1" in blanked
    plain, kept = jpeg(told[0]), bytearray(jpeg(told[0]))
    jpeg_blank.blank(memoryview(kept))
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(kept)) as after:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    for bad in (b"", name, content[:2] + name, content[:30]):
        with pytest.raises(ValueError, match="JPEG"):
            jpeg_blank.blank(memoryview(bytearray(bad)))


def test_the_privacy_check_looks_into_every_application_segment(tmp_path: Path) -> None:
    tile = jpeg((0xE0, PLANTED.encode()))
    tifffile.imwrite(
        tmp_path / "x.tif", iter([tile]), shape=(32, 32, 3), dtype="u1", tile=(32, 32), compression="jpeg",
        photometric="ycbcr", subsampling=(2, 2), metadata=None,
    )  # fmt: skip
    assert findings("tif", (tmp_path / "x.tif").read_bytes(), PLANTED) == ["compressed pixels: listed identifier"]
    assert findings("tif", original("tiff", tmp_path / "x.tif").content, PLANTED) == []


def test_pixels_that_may_hold_text_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", contents.smooth(32, 32), compression="jpeg2000", photometric="rgb")
    with pytest.raises(ValueError, match=r"encoded as .*: it cannot be kept"):
        original("tiff", tmp_path / "a.tif")


def test_bad_tiffs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = slide(tmp_path / "x.tif", contents.smooth(90, 130))
    whole = path.read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match="cut short"):
        original("tiff", tmp_path / "cut.tif")
    with pytest.raises(ValueError, match="no page 5: the file has 3"):
        original("tiff", path, {"page": 5})
    (tmp_path / "none.tif").write_bytes(b"not a tiff at all")
    with pytest.raises(ValueError, match="not a TIFF file"):
        original("tiff", tmp_path / "none.tif")
    close_all()
    with tifffile.TiffFile(path) as file:
        where = file.pages[0].tags["Compression"].valueoffset  # type: ignore[union-attr]
    (tmp_path / "old.tif").write_bytes(whole[:where] + b"\6\0" + whole[where + 2 :])
    with pytest.raises(ValueError, match=r"JPEG as TIFF 6\.0 had it"):
        original("tiff", tmp_path / "old.tif")
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        where = page.tags["XResolution"].offset + 4
    (tmp_path / "absurd.tif").write_bytes(whole[:where] + b"\xff\xff\xff\x0f" + whole[where + 4 :])
    found = original("tiff", tmp_path / "absurd.tif").content
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(found)), contents.smooth(90, 130))
    assert len(found) < len(whole)
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1000)
    with pytest.raises(ValueError, match="more than the 1,000 that a sample may have"):
        original("tiff", path)
