"""Text that stands in pictures is found, in real ultrasound images too; tissue and markers of view are clean."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
import tifffile
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import tiny_store
from adapter_reading import read
from ropeway import privacy_pictures
from ropeway.cli import make_app
from ropeway.manifest import Kind
from ropeway.privacy import PrivacyReport, lint
from ropeway.privacy_pictures import pictures_in
from ropeway.privacy_pixels import RULE, TextReader, pictures
from ropeway.privacy_rules import PLANTED, Identifiers
from ropeway.samples import Array
from ropeway.stores import open_store
from ropeway_shardgen.problems import SampleError

pytestmark = pytest.mark.xdist_group("ocr")  # the models are loaded once


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def shipped(name: str) -> Path:
    """A real file that pydicom ships."""
    return Path(pydicom.data.__file__).parent / "test_files" / name


def radiograph(*texts: str, size: int = 320) -> Array:
    """Something like tissue, with white words on it."""
    noise = np.random.default_rng(4).random((size, size))
    image = Image.fromarray((60 * noise).astype(np.uint8)).resize((size, size))
    for number, text in enumerate(texts):
        ImageDraw.Draw(image).text((12, 12 + 40 * number), text, fill=255, font_size=18)
    return np.asarray(image)


def png(picture: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def check(path: Path, reader: TextReader, content: bytes, kind: Kind = "image", *, form: str = "png") -> PrivacyReport:
    store = open_store(path)
    manifest = tiny_store.build(store, content=[tiny_store.Sample(key="a", parts={"x": (form, content)})], tasks=())
    [part] = manifest.parts
    manifest = replace(manifest, parts=(replace(part, kind=kind),))
    return lint(store, manifest, Identifiers(["Doe, Jane"]), reader=reader)


def test_names_and_dates_are_found_and_markers_are_not(reader: TextReader) -> None:
    told = [words.text for words in reader.words(radiograph("DOE JANE", "12.03.1961", "LMLO"))]
    assert len(told) == 2
    assert "DOE" in told[0]
    assert "1961" in told[1]
    assert list(reader.words(radiograph())) == []


@pytest.mark.parametrize(
    ("name", "text"), [("examples_palette.dcm", "5/25/2011"), ("examples_rgb_color.dcm", "BAPTIST")]
)
def test_real_ultrasound_gives_itself_away(reader: TextReader, name: str, text: str) -> None:
    values = pydicom.dcmread(shipped(name)).pixel_array
    assert any(text in words.text for words in reader.words(values))


def test_real_tissue_is_clean(reader: TextReader) -> None:
    values = pydicom.dcmread(shipped("CT_small.dcm")).pixel_array
    assert list(reader.words(values)) == []


def test_a_recipe_that_reads_refuses_what_shows_text_and_packs_the_rest(tmp_path: Path) -> None:
    clean = pydicom.dcmread(shipped("CT_small.dcm"))
    clean.Modality = "US"  # the header speaks for text; there is none
    clean.save_as(tmp_path / "clean.dcm")
    with pytest.raises(SampleError, match="burned_in = 'read'"):
        read("dicom", tmp_path / "clean.dcm")
    assert read("dicom", tmp_path / "clean.dcm", burned_in="read").shape == (128, 128)
    with pytest.raises(SampleError, match="text stands in the pixels") as caught:
        read("dicom", shipped("examples_palette.dcm"), burned_in="read")
    assert caught.value.reason == "burned-in text"
    assert "Philips" not in str(caught.value)


def test_every_slice_of_a_series_is_read(tmp_path: Path) -> None:
    for number in range(3):
        dataset = pydicom.dcmread(shipped("CT_small.dcm"))
        dataset.ImagePositionPatient = [0, 0, 5.0 * number]
        dataset.SOPInstanceUID = f"2.25.{number + 1}"
        dataset.save_as(tmp_path / f"{number}.dcm")
    assert read("dicom-series", tmp_path, burned_in="read").shape == (3, 128, 128)
    dataset = pydicom.dcmread(tmp_path / "2.dcm")
    shown = Image.fromarray(dataset.pixel_array.astype(np.int32))
    ImageDraw.Draw(shown).text((4, 4), "DOE 1961", fill=3000, font_size=20)
    dataset.PixelData = np.asarray(shown).astype(np.int16).tobytes()
    dataset.save_as(tmp_path / "2.dcm")
    with pytest.raises(SampleError, match="text stands in the pixels"):
        read("dicom-series", tmp_path, burned_in="read")


def test_a_word_in_one_slice_of_many_is_seen(reader: TextReader) -> None:
    volume = np.full((9, 200, 320), -1000, np.int16)
    volume[2] = radiograph("MILLER 4711")[:200].astype(np.int16) * 12 - 1000
    assert {words.place for words in reader.words(volume)} == {"the brightest of all frames"}


def test_what_is_looked_at_is_as_a_screen_shows_it() -> None:
    [(_, shown)] = pictures(np.array([[0, 4095], [2048, 0]], np.uint16))
    assert shown[..., 0].tolist() == [[0, 255], [127, 0]]
    [(_, shown)] = pictures(np.array([[np.nan, 1.0], [-1.0, np.inf]]))
    assert shown[..., 2].tolist() == [[127, 255], [0, 127]]
    assert [place for place, _ in pictures(np.zeros((2, 8, 8, 3), np.uint8))] == ["frame 0", "frame 1"]
    assert len(list(pictures(np.zeros((64, 8, 4), np.uint8)))) == 1


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((0, 4)), np.zeros((2, 2), "U3"), np.zeros((1, 1, 1, 1, 1))])
def test_what_is_no_picture_is_refused(values: Array) -> None:
    with pytest.raises(ValueError, match="is no picture"):
        list(pictures(values))


def test_a_store_is_read_through_and_nothing_read_is_shown(tmp_path: Path, reader: TextReader) -> None:
    report = check(tmp_path, reader, png(radiograph("DOE JANE", "12.03.1961", "Acme Clinic")))
    assert report.counts == {PLANTED: 1, "date": 1, RULE: 1}
    assert {finding.where for finding in report.findings} == {"x.png, the picture"}
    assert not any(word in str(report) for word in ("DOE", "1961", "Acme"))


def test_a_damaged_picture_is_a_finding(tmp_path: Path, reader: TextReader) -> None:
    assert check(tmp_path, reader, png(radiograph())[:200]).counts["not readable"] >= 1


def test_what_nothing_decodes_is_told(tmp_path: Path, reader: TextReader) -> None:
    store = open_store(tmp_path)
    made = tiny_store.build(
        store, content=[tiny_store.Sample(key="a", parts={"x": ("mha", b"ElementDataFile = LOCAL\n")})], tasks=()
    )
    made = replace(made, parts=(replace(made.parts[0], kind="image"),))
    assert lint(store, made, Identifiers(["Doe, Jane"]), reader=reader).unseen == {"mha": 1}


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def test_pictures_in_a_zip_are_looked_at(tmp_path: Path, reader: TextReader) -> None:
    slices = {"0_png": png(radiograph()[:200]), "1_png": png(radiograph("DOE JANE")[:200])}
    slices["x_mha"] = b"ElementDataFile = LOCAL\n"
    report = check(tmp_path, reader, zipped(**slices, note_txt=b"none"), form="zip")
    assert report.counts == {PLANTED: 1}
    assert [finding.where for finding in report.findings] == ["x.zip, 0.png to 1.png, frame 1"]
    assert report.unseen == {"mha in a zip": 1}


def test_pictures_of_a_zip_are_held_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy_pictures, "_TOGETHER", 3 * 20 * 30)
    small, large = png(np.zeros((20, 30), np.uint8)), png(np.zeros((40, 30), np.uint8))
    content = zipped(**{f"{number}_png": small for number in range(4)}, x_png=large, y_png=large)
    found = [(one.place, one.values.shape) for one in pictures_in("zip", memoryview(content)) if one.values is not None]
    assert found == [("0.png to 2.png", (3, 20, 30)), ("3.png", (20, 30)), ("x.png", (40, 30)), ("y.png", (40, 30))]


@pytest.mark.parametrize(
    "how",
    [
        {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"},
        {"rowsperstrip": 16, "photometric": "rgb"},
        {"tile": (64, 64), "photometric": "rgb", "planarconfig": "separate"},
        {"tile": (64, 64), "photometric": "minisblack"},
    ],
)
def test_a_slide_is_seen_from_afar(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy_pictures, "_SIDE", 100)
    colours = () if how["photometric"] == "minisblack" else (3,)
    pixels = np.random.default_rng(0).integers(0, 255, (200, 310, *colours), np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, np.moveaxis(pixels, -1, 0) if "planarconfig" in how else pixels, **how)
    file.seek(0)
    whole = tifffile.imread(file)
    whole = np.moveaxis(whole, 0, -1) if "planarconfig" in how else whole
    seen, unseen = pictures_in("slide.tif", memoryview(file.getvalue()))
    assert seen.values is not None
    np.testing.assert_array_equal(seen.values, whole[::3, ::3], strict=True)
    assert unseen.unseen == "slide.tif at full size"


def test_a_name_on_a_slide_is_found(tmp_path: Path, reader: TextReader) -> None:
    large = Image.fromarray(radiograph("DOE JANE")).resize((4200, 4200))
    file = io.BytesIO()
    tifffile.imwrite(file, np.asarray(large), tile=(256, 256), compression="zlib")
    report = check(tmp_path / "whole", reader, file.getvalue(), form="slide.tif")
    assert (report.counts, report.unseen) == ({PLANTED: 1}, {"slide.tif at full size": 1})
    assert check(tmp_path / "cut", reader, file.getvalue()[:5000], form="slide.tif").counts["not readable"] >= 1


def test_signals_are_not_looked_at(tmp_path: Path, reader: TextReader) -> None:
    assert check(tmp_path, reader, png(radiograph("DOE JANE")), "signal").counts == {}


def test_the_command_looks_when_it_is_asked(tmp_path: Path, reader: TextReader) -> None:
    check(tmp_path, reader, png(radiograph("Acme Clinic")))
    told = CliRunner().invoke(make_app(), ["verify", "--store", str(tmp_path), "--privacy", "--pixels", "--json"])
    assert told.exit_code == 1
    assert json.loads(told.stdout)[0]["counts"] == {RULE: 1}
    assert CliRunner().invoke(make_app(), ["verify", "--store", str(tmp_path), "--privacy"]).exit_code == 0
    alone = CliRunner().invoke(make_app(), ["verify", "--store", str(tmp_path), "--pixels"])
    assert alone.exit_code != 0
