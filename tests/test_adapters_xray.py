"""Radiographs and reports: images byte for byte with what their headers say, mammogram headers, texts; bad files."""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.pixels.processing import apply_rescale, apply_windowing
from pydicom.sequence import Sequence

from raw_trees.radiographs import radiograph
from ropeway_shardgen.adapters import Payload
from ropeway_shardgen.adapters.text import text_payload
from ropeway_shardgen.formats.dicom_values import turned_round
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import configured

DICOM = Path(pydicom.data.__file__).parent / "test_files"


def read(name: str, path: Path, fields: dict[str, Any] | None = None, **options: Any) -> Payload:
    found, told = configured(name, options)
    return found.read(path, fields or {}, told)


def row(name: str, path: Path, **options: Any) -> dict[str, Any]:
    found, told = configured(name, options)
    assert found.rows is not None
    (only,) = found.rows(path, told)
    return dict(only.fields)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many grey pixels and holds none."""

    def segment(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = segment(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + segment(b"IDAT", zlib.compress(b"\0")) + segment(b"IEND", b"")


# images


@pytest.mark.parametrize(
    ("mode", "suffix", "bits", "bands"),
    [
        ("L", "jpg", 8, 1), ("RGB", "jpeg", 8, 3), ("CMYK", "jpg", 8, 4),
        ("L", "png", 8, 1), ("P", "png", 8, 1), ("RGBA", "png", 8, 4), ("I;16", "png", 16, 1), ("1", "png", 1, 1),
    ],
)  # fmt: skip
def test_every_mode_is_kept_byte_for_byte(tmp_path: Path, mode: str, suffix: str, bits: int, bands: int) -> None:
    path = tmp_path / f"é.{suffix}"
    Image.new("L", (5, 4), 7).convert(mode).save(path)
    payload = read("image", path)
    assert payload.content == path.read_bytes()
    assert payload.shape == ((4, 5) if bands == 1 else (4, 5, bands))
    assert payload.fields == {"height": 4, "width": 5, "mode": mode, "bits": bits, "orientation": 1}
    assert row("image", path) == payload.fields


def test_orientation_is_told_and_not_applied(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.png"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("L", (5, 4)).save(tmp_path / name, exif=exif)
        payload = read("image", tmp_path / name)
        assert (payload.shape, payload.fields["orientation"]) == ((4, 5), 6)
    exif[0x0112] = 77
    Image.new("L", (5, 4)).save(tmp_path / "x.jpg", exif=exif)
    assert row("image", tmp_path / "x.jpg")["orientation"] is None
    content = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(
        content.replace(b"Exif\0\0MM", b"Exif\0\0??").replace(b"Exif\0\0II", b"Exif\0\0??")
    )
    assert row("image", tmp_path / "x.jpg")["orientation"] is None


def test_digests_on_request(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "x.png")
    digest = hashlib.sha256((tmp_path / "x.png").read_bytes()).hexdigest()
    assert row("image", tmp_path / "x.png", digest=True)["digest"] == digest
    assert read("image", tmp_path / "x.png", digest=True).fields["digest"] == digest


def test_a_jpeg_cut_behind_its_preview(tmp_path: Path) -> None:
    """The preview in EXIF has an end marker too, which must not pass for the picture's own."""
    preview = tmp_path / "preview.jpg"
    Image.new("L", (8, 8)).save(preview)
    Image.effect_noise((64, 64), 50).save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    within = b"Exif\0\0" + preview.read_bytes()
    whole = content[:2] + b"\xff\xe1" + struct.pack(">H", len(within) + 2) + within + content[2:]
    (tmp_path / "x.jpg").write_bytes(whole)
    assert read("image", tmp_path / "x.jpg").content == whole
    (tmp_path / "x.jpg").write_bytes(whole[:-40])
    with pytest.raises(ValueError, match="a JPEG cut short: its end marker is missing"):
        read("image", tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.png", png_header(30_000, 5_000), "a PNG of 5000 × 30000 pixels in 66 bytes: damaged"),
        ("x.png", png_header(60_000, 60_000), "DecompressionBombError"),
        ("x.jpg", b"hello", "neither a JPEG nor a PNG"),
        ("x.jpg", b"", "neither a JPEG nor a PNG"),
        ("x.jpg", b"BM" + bytes(60), "neither a JPEG nor a PNG"),
    ],
    ids=["damaged", "bomb", "words", "empty", "bitmap"],
)
def test_bad_images_are_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        read("image", tmp_path / name)


@given(st.data())
def test_a_cut_image_never_passes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["jpg", "png"]))
    path = tmp_path_factory.getbasetemp() / f"cut.{form}"
    Image.linear_gradient("L").resize((16, 16)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - (2 if form == "jpg" else 12)))])
    with pytest.raises(ValueError):  # noqa: PT011 - which of the messages depends on where it is cut
        read("image", path)


# mammograms


def mammogram(path: Path, **entries: Any) -> Path:
    dataset = pydicom.dcmread(DICOM / "MR_small.dcm")
    dataset.Modality = "MG"
    dataset.add_new("PixelPaddingValue", "SS", -7)
    for name, value in entries.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def coded(value: str) -> Sequence:
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator = value, "SCT"
    return Sequence([code])


def test_what_a_mammogram_s_header_says(tmp_path: Path) -> None:
    path = mammogram(
        tmp_path / "x.dcm", ImageLaterality="L", ViewPosition="MLO", PatientOrientation=["A", "FR"],
        PresentationIntentType="FOR PRESENTATION", VOILUTFunction="SIGMOID", PresentationLUTShape="INVERSE",
        ImagerPixelSpacing=[0.07, 0.08],
    )  # fmt: skip
    fields = row("dicom", path)
    assert {name: fields[name] for name in ("view", "laterality", "intent", "voi_function", "presentation_lut")} == {
        "view": "MLO", "laterality": "L", "intent": "FOR PRESENTATION", "voi_function": "SIGMOID",
        "presentation_lut": "INVERSE",
    }  # fmt: skip
    assert (fields["patient_orientation"], fields["padding"]) == ("A\\FR", -7)
    assert (fields["imager_spacing_row"], fields["imager_spacing_column"]) == (0.07, 0.08)
    assert json.dumps(fields)


@pytest.mark.parametrize(
    ("code", "view"), [("399162004", "CC"), ("R-10226", "MLO"), ("399368009", "MLO"), ("Planted", None)]
)
def test_a_coded_view_and_the_older_laterality(tmp_path: Path, code: str, view: str | None) -> None:
    fields = row("dicom", mammogram(tmp_path / "x.dcm", ViewCodeSequence=coded(code), Laterality="R"))
    assert (fields["view"], fields["laterality"]) == (view, "R")


def test_stored_values_are_not_made_for_display(tmp_path: Path) -> None:
    """Inverted, windowed, padded: all of it stays metadata."""
    plain = read("dicom", DICOM / "MR_small.dcm").content
    path = mammogram(tmp_path / "x.dcm", PhotometricInterpretation="MONOCHROME1", WindowWidth=9)
    assert read("dicom", path).content == plain
    assert read("dicom", path).fields["photometric"] == "MONOCHROME1"


def test_monochrome1_can_be_turned_round(tmp_path: Path) -> None:
    """Twice turned is the original; what has no counterpart in its bits is refused."""
    pixels = (np.arange(64, dtype=np.uint16) * 65).reshape(8, 8)
    radiograph(tmp_path / "x.dcm", pixels, bits=12, inverted=True, WindowCenter=100)
    payload = read("dicom", tmp_path / "x.dcm", photometric="monochrome2")
    np.testing.assert_array_equal(np.load(io.BytesIO(payload.content)), 4095 - pixels, strict=True)
    assert row("dicom", tmp_path / "x.dcm", photometric="monochrome2")["photometric"] == "MONOCHROME1"
    radiograph(tmp_path / "y.dcm", pixels, bits=12)
    plain = read("dicom", tmp_path / "y.dcm", photometric="monochrome2")
    np.testing.assert_array_equal(np.load(io.BytesIO(plain.content)), pixels, strict=True)
    signed = mammogram(tmp_path / "z.dcm", PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(ValueError, match="MONOCHROME1 values of dtype int16: only unsigned ones can be turned round"):
        read("dicom", signed, photometric="monochrome2")
    with pytest.raises(ValueError, match="a MONOCHROME1 value of 256, more than 8 bits can say"):
        turned_round(np.array([3, 256], np.uint16), 8)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_a_window_turns_with_its_values(tmp_path: Path, function: str) -> None:
    """What pydicom shows of the file, turned round, is what it shows of the turned values with the turned window."""
    pixels = (np.arange(64, dtype=np.uint16) * 65).reshape(8, 8)
    path = tmp_path / "x.dcm"
    entries: dict[str, Any] = {
        "WindowWidth": 900,
        "VOILUTFunction": function,
        "RescaleSlope": 2,
        "RescaleIntercept": -300,
    }
    radiograph(path, pixels, bits=12, inverted=True, WindowCenter=2500, PixelPaddingValue=0, **entries)
    payload = read("dicom", path, photometric="monochrome2")
    assert payload.fields["padding"] == 4095
    file, turned = pydicom.dcmread(path), pydicom.dcmread(path)
    turned.WindowCenter = payload.fields["window_center"]
    shown = [apply_windowing(apply_rescale(values, told), told).round(6)
             for values, told in ((pixels, file), (np.load(io.BytesIO(payload.content)), turned))]  # fmt: skip
    low, high = 2 * 0 - 300, 2 * 4095 - 300
    np.testing.assert_allclose(shown[1], low + high - shown[0], atol=1e-4)
    assert payload.fields.items() <= row("dicom", path, photometric="monochrome2").items()


@given(st.integers(1, 16), st.data())
def test_turning_round_twice_changes_nothing(bits: int, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1))), np.uint16)
    np.testing.assert_array_equal(turned_round(turned_round(values, bits), bits), values, strict=True)


def test_a_header_of_absurd_size_sets_no_memory_aside(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(DICOM / "MR_small_jp2klossless.dcm")
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 65_000, 65_000, 1_000
    dataset.save_as(tmp_path / "x.dcm")
    with pytest.raises(ValueError, match="a header of 8450000000000 bytes of pixels in a file of"):
        read("dicom", tmp_path / "x.dcm")


# texts


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_words_stay_as_they_are(words: str) -> None:
    payload = text_payload(words)
    assert payload.content.decode("utf-8") == words
    assert (payload.format, payload.fields["characters"]) == ("txt", len(words))


def test_encodings_are_told_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes("Épanchement\r\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"not utf-8-sig text: byte 0xc9 at 0 \(give the encoding"):
        read("text", path)
    assert read("text", path, encoding="latin-1").content == "Épanchement\r\n".encode()
    assert read("text", path, encoding="latin-1").fields == {"characters": 13}
    path.write_bytes("\ufeffno finding".encode())
    assert read("text", path).content == b"no finding"
    with pytest.raises(ValueError, match="there is no encoding 'latin-99'"):
        read("text", path, encoding="latin-99")
    path.write_bytes(b"\0\0\1")
    with pytest.raises(ValueError, match="not text: it holds a zero character"):
        read("text", path)


def test_a_column_of_words() -> None:
    assert read("text-field", Path(), {"report": "Überweisung"}, field="report").content == "Überweisung".encode()
    with pytest.raises(SampleError, match="field 'report' is empty: no text"):
        read("text-field", Path(), {"report": None}, field="report")
    with pytest.raises(SampleError, match="there is no field 'text'"):
        read("text-field", Path(), {"report": "x"}, field="text")
