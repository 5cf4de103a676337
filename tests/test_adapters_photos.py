"""Adapters of pictures, label images, slides and conversations: values against other readers, bad files refused."""

import itertools
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapter_reading import Fields, read, rows, values
from ropeway_shardgen.adapters import adapter
from ropeway_shardgen.adapters.regions import RegionsOptions, _starts
from ropeway_shardgen.recipe import configured

Array = npt.NDArray[Any]


def noise(*shape: int, dtype: str = "u1") -> Array:
    return np.random.default_rng(7).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


# Label images


@pytest.mark.parametrize("form", ["png", "gif", "bmp", "tif"])
def test_masks_as_stored(tmp_path: Path, form: str) -> None:
    mask = np.where(noise(9, 12) > 128, 255, 0).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / f"x.{form}")
    payload = read("mask", tmp_path / f"x.{form}")
    np.testing.assert_array_equal(values(payload), mask, strict=True)
    assert payload.axes == ("height", "width")


def test_a_palette_is_only_for_show(tmp_path: Path) -> None:
    codes = noise(5, 6) % 4
    image = Image.fromarray(codes)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(tmp_path / "x.png")
    np.testing.assert_array_equal(values(read("mask", tmp_path / "x.png")), codes, strict=True)


def test_masks_of_16_bits_and_of_one(tmp_path: Path) -> None:
    deep = noise(5, 6, dtype="u2")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(values(read("mask", tmp_path / "deep.png")), deep, strict=True)
    flat = noise(5, 6) > 99
    Image.fromarray(flat).save(tmp_path / "flat.png")
    np.testing.assert_array_equal(values(read("mask", tmp_path / "flat.png")), flat, strict=True)


def test_bad_masks(tmp_path: Path) -> None:
    Image.fromarray(noise(30, 30)).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:400])
    with pytest.raises(ValueError, match="truncated"):
        read("mask", tmp_path / "cut.png")
    Image.fromarray(noise(30, 30)).save(tmp_path / "x.gif")
    (tmp_path / "cut.gif").write_bytes((tmp_path / "x.gif").read_bytes()[:900])
    with pytest.raises(ValueError, match="truncated"):
        read("mask", tmp_path / "cut.gif")
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match="one value per pixel, and this one is RGB"):
        read("mask", tmp_path / "colour.png")
    Image.fromarray(noise(8, 8)).save(tmp_path / "x.jpg")
    with pytest.raises(ValueError, match="not a picture in one of the formats GIF, BMP, TIFF, PNG"):
        read("mask", tmp_path / "x.jpg")
    frames = [Image.fromarray(noise(8, 8) // n) for n in (1, 2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="several frames"):
        read("mask", tmp_path / "moving.gif")
    header = whole[12:16] + struct.pack(">II", 60000, 60000) + whole[24:29]
    (tmp_path / "huge.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    with pytest.raises(ValueError, match="decompression bomb"):
        read("mask", tmp_path / "huge.png")


# Regions


def labelled(tmp_path: Path) -> tuple[Path, Array]:
    mask = np.zeros((60, 90), np.uint8)
    mask[2:12, 3:23] = 1  # a box
    mask[12:14, 23:25] = 1  # touches it at a corner: the same region
    mask[20:60, 0:80] = 2  # too large for one window
    mask[30:40, 30:40] = 0  # its hole …
    mask[33:37, 33:37] = 2  # … and a region in the hole
    mask[5:7, 60:62] = 4
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "mask.png", mask


def test_regions_are_connected_areas_of_a_code(tmp_path: Path) -> None:
    path, mask = labelled(tmp_path)
    found = rows("regions", path, smallest=4, largest=50, overlap=10)
    boxes = [tuple(row[name] for name in ("code", "region", "window", "x", "y", "width", "height")) for row in found]
    assert boxes == [
        (1, 0, 0, 3, 2, 22, 12),
        (2, 1, 0, 0, 20, 50, 40),
        (2, 1, 1, 30, 20, 50, 40),
        (2, 2, 0, 33, 33, 4, 4),
    ]
    assert found[0]["coverage"] == pytest.approx((200 + 4) / (22 * 12))
    assert found[3]["coverage"] == 1
    assert [row["code"] for row in rows("regions", path, codes=[4])] == [4]
    assert not rows("regions", path, codes=[3])
    for row in found:
        cut = mask[row["y"] : row["y"] + row["height"], row["x"] : row["x"] + row["width"]]
        np.testing.assert_array_equal(values(read("regions", path, row)), cut, strict=True)


def test_regions_of_the_picture(tmp_path: Path) -> None:
    pixels = noise(60, 90, 3)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    payload = read("regions", tmp_path / "image.png", {"x": 5, "y": 7, "width": 30, "height": 20})
    np.testing.assert_array_equal(values(payload), pixels[7:27, 5:35], strict=True)
    assert (payload.axes, payload.channels) == (("height", "width", "channel"), ("red", "green", "blue"))


def test_a_changed_picture_is_read_again(tmp_path: Path) -> None:
    box = {"x": 0, "y": 0, "width": 4, "height": 4}
    for level in (3, 200):
        Image.fromarray(np.full((4, 4 + level), level, np.uint8)).save(tmp_path / "x.png")
        assert values(read("regions", tmp_path / "x.png", box)).max() == level


@given(length=st.integers(1, 5000), largest=st.integers(2, 600), share=st.floats(0, 0.9))
def test_windows_cover_a_region_and_overlap(length: int, largest: int, share: float) -> None:
    options = RegionsOptions(largest=largest, overlap=int(share * largest))
    starts = _starts(length, options)
    size = min(length, largest)
    assert starts[0] == 0
    assert starts[-1] + size == length
    assert all(0 < after - before <= largest - options.overlap for before, after in itertools.pairwise(starts))


def test_bad_regions(tmp_path: Path) -> None:
    path, _ = labelled(tmp_path)
    with pytest.raises(ValueError, match="outside the 90 × 60 of the picture"):
        read("regions", path, {"x": 80, "y": 0, "width": 11, "height": 5})
    with pytest.raises(ValueError, match="an overlap of 50 pixels in windows of 50"):
        rows("regions", path, largest=50, overlap=50)
    Image.fromarray(noise(9, 9, 3)).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match="has colours"):
        rows("regions", tmp_path / "colour.png")
    Image.fromarray(noise(9, 9, dtype="u2")).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="I;16 pixels"):
        rows("regions", tmp_path / "deep.png")
    (tmp_path / "other.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="not a PNG"):
        rows("regions", tmp_path / "other.png")
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:120])
    with pytest.raises(ValueError, match="truncated"):
        rows("regions", tmp_path / "cut.png")


# TIFF


@pytest.mark.parametrize("form", ["plain", "lzw", "deflate", "strips", "planes", "grey16"])
def test_a_tiff_page_against_pillow(tmp_path: Path, form: str) -> None:
    pixels = noise(40, 50, dtype="u2") if form == "grey16" else noise(40, 50, 3)
    path = tmp_path / "x.tif"
    if form == "planes":
        tifffile.imwrite(path, np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
        found = values(read("tiff", path))
    else:
        compression = {"lzw": "lzw", "deflate": "zlib"}.get(form)
        tifffile.imwrite(path, pixels, compression=compression, rowsperstrip=7 if form == "strips" else None)
        found = values(read("tiff", path))
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels)
    np.testing.assert_array_equal(found, pixels, strict=True)


@pytest.mark.parametrize("compression", [None, "lzw", "jpeg"])
def test_windows_of_a_slide(tmp_path: Path, compression: str | None) -> None:
    ramp = np.add.outer(np.arange(100), np.arange(130))[..., None] * np.array([1, 0.5, 0.25])
    pixels = ramp.astype(np.uint8)
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, tile=(32, 48), compression=compression, resolution=(40000, 40000), resolutionunit=3)
        file.write(pixels[::2, ::2], tile=(32, 32))
    found = rows("tiff", path, side=40)
    assert [(row["x"], row["y"]) for row in found] == [(x, y) for y in (0, 40) for x in (0, 40, 80)]
    assert (found[0]["height"], found[0]["width"], found[0]["pixel_size"]) == (100, 130, 0.25)
    whole = tifffile.imread(path, key=0)
    for row in found:
        window = values(read("tiff", path, row, side=40))
        np.testing.assert_array_equal(window, whole[row["y"] :, row["x"] :][:40, :40], strict=True)
    half = values(read("tiff", path, page=1))
    np.testing.assert_array_equal(half, pixels[::2, ::2], strict=True)


def test_windows_of_strips(tmp_path: Path) -> None:
    pixels = noise(50, 30)
    tifffile.imwrite(tmp_path / "x.tif", pixels, rowsperstrip=8)
    window = values(read("tiff", tmp_path / "x.tif", {"x": 3, "y": 15}, side=20))
    np.testing.assert_array_equal(window, pixels[15:35, 3:23], strict=True)


def test_bad_tiffs(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise(40, 50, 3))
    whole = path.read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut short"):
        read("tiff", tmp_path / "cut.tif")
    (tmp_path / "none.tif").write_bytes(b"not a tiff at all")
    with pytest.raises(ValueError, match="not a TIFF file"):
        read("tiff", tmp_path / "none.tif")
    with pytest.raises(ValueError, match="no page 3: the file has 1"):
        read("tiff", path, page=3)
    with pytest.raises(ValueError, match="outside the page"):
        read("tiff", path, {"x": 20, "y": 10}, side=35)
    tifffile.imwrite(tmp_path / "five.tif", noise(8, 8, 5), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match="pixels of 5 MINISBLACK values"):
        read("tiff", tmp_path / "five.tif")


def test_a_tiff_whose_header_promises_too_much(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, noise(16, 16), compression="zlib", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            where = file.pages.first.tags[tag]
            content[where.valueoffset : where.valueoffset + 4] = struct.pack("<I", 60000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read("tiff", path)


# Conversations

TALK: list[Fields] = [
    {
        "id": "1_F1",
        "image": "1_F1.jpg",
        "domain": {"ct_scan": True, "mri": False},
        "conversatons": [{"from": "human", "value": "Wö ist <image>?"}, {"from": "gpt", "value": "Hïer.\n"}],
    },
    {"id": "2_F3", "image": "2_F3.jpg", "domain": "MRI", "conversations": [{"from": "human", "value": "1_F1"}]},
]


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("form", ["list", "indented", "lines"])
def test_conversations(tmp_path: Path, form: str, escaped: bool) -> None:
    path = tmp_path / "talk.json"
    if form == "lines":
        text = "\n\n".join(json.dumps(entry, ensure_ascii=escaped) for entry in TALK) + "\n"
    else:
        text = json.dumps(TALK, ensure_ascii=escaped, indent=2 if form == "indented" else None)
    path.write_text(text, "utf-8")
    found = rows("conversations", path)
    assert [(row["row"], row["id"], row["domain"], row["turns"]) for row in found] == [
        (1, "1_F1", "ct_scan", 2),
        (2, "2_F3", "MRI", 1),
    ]
    for row, entry in zip(found, TALK, strict=True):
        payload = read("conversations", path, row)
        assert payload.format == "json"
        assert json.loads(payload.content) == entry.get("conversations", entry.get("conversatons"))


def test_bad_conversations(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    bad = {
        '[{"id": 1}]': "entry 1 has 0 conversations",
        '[{"conversations": []}]': "entry 1 has a conversation without a turn",
        '[{"conversations": [{"from": "bot", "value": "x"}]}]': "entry 1: Invalid enum value 'bot'",
        "[3]": "entry 1 is not an object",
        '[{"conversations": [': "truncated",
        "not json": "malformed",
    }
    for text, problem in bad.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=problem):
            rows("conversations", path)
    path.write_text(json.dumps(TALK))
    found = rows("conversations", path)
    path.write_text(" [1, 2]" + " " * 500)
    with pytest.raises(ValueError, match=r"malformed|truncated|no object"):
        read("conversations", path, found[1])


def test_ages_in_a_vector_are_capped() -> None:
    found = read("table", Path(), {"age": "94", "size": "94"}, columns=["age", "size"], cap={"age": 90})
    assert values(found).tolist() == [90, 94]
    assert math.isnan(values(read("table", Path(), {"age": "nan"}, columns=["age"], cap={"age": 90}))[0])


def test_what_an_adapter_needs_to_find_a_sample() -> None:
    for name, options, locators in (
        ("regions", {}, ("x", "y", "width", "height")),
        ("tiff", {}, ()),
        ("tiff", {"side": 9}, ("x", "y")),
        ("conversations", {}, ("start", "length")),
    ):
        found, told = configured(name, options)
        assert found.locators(told) == locators
    assert adapter("mask").rows is None
