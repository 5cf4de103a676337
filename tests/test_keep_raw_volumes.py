"""Original MetaImages and DICOM series: voxels byte for byte, geometry, and nothing that names a person."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from adapter_reading import read, values
from originals import KEY, findings, original
from raw_volumes import ct_slice, hounsfield, metaimage
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.pseudonyms import uid
from ropeway_shardgen.recipe import configured

Layout = dict[str, bool]


def parsed(content: bytes) -> tuple[dict[str, str], bytes]:
    """Header and data of a .mha, by a reader that is not ours."""
    end = content.index(b"LOCAL\n") + len(b"LOCAL\n")
    return dict(line.split(" = ", 1) for line in content[:end].decode("ascii").splitlines()), content[end:]


@pytest.mark.parametrize("layout", [{}, {"compressed": True}, {"big_endian": True}, {"local": True}], ids=str)
def test_a_metaimage_is_one_file_of_voxels_and_geometry(tmp_path: Path, layout: Layout) -> None:
    voxels = hounsfield(5, 6, 7)
    path = metaimage(tmp_path / "Planted.mhd", voxels, spacing=(0.5, 0.6, 2), origin=(-10, 20, 3), **layout)
    data = path if layout.get("local") else path.with_suffix(".zraw" if layout.get("compressed") else ".raw")
    data.write_bytes(data.read_bytes() + (b"" if layout.get("local") else b"John Doe behind the voxels"))
    found = original("metaimage", path)
    words, content = parsed(found.content)
    assert words == {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(layout.get("big_endian", False)),
        "CompressedData": str(layout.get("compressed", False)),
        **({"CompressedDataSize": str(len(content))} if layout.get("compressed") else {}),
        "DimSize": "7 6 5",
        "ElementSpacing": "0.5 0.6 2",
        "Offset": "-10 20 3",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    }
    plain = zlib.decompress(content) if layout.get("compressed") else content
    stored = np.frombuffer(plain, ">i2" if layout.get("big_endian") else "<i2").reshape(5, 6, 7)
    np.testing.assert_array_equal(stored, voxels)
    assert b"John" not in found.content
    assert findings("mha", found.content, "John Doe", "Planted") == []
    assert findings("mha", path.read_bytes(), "John Doe") == ["header: listed identifier"]
    (tmp_path / "again.mha").write_bytes(found.content)
    again, before = read("metaimage", tmp_path / "again.mha"), read("metaimage", path)
    assert (again.content, again.fields) == (before.content, before.fields)


def test_words_in_place_of_numbers_are_left_out(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "x.mhd", hounsfield(2, 3, 4))
    text = path.read_bytes().replace(b"NDims", b"CenterOfRotation = John Doe\nAnatomicalOrientation = Doe\nNDims", 1)
    path.write_bytes(text)
    words, _ = parsed(original("metaimage", path).content)
    assert {"CenterOfRotation", "AnatomicalOrientation", "Comment"}.isdisjoint(words)
    path.write_bytes(text.replace(b"= Doe", b"= RAI").replace(b"= John Doe", b"= 1 2 3"))
    words, _ = parsed(original("metaimage", path).content)
    assert (words["CenterOfRotation"], words["AnatomicalOrientation"]) == ("1 2 3", "RAI")
    path.write_bytes(text.replace(b"= John Doe", b"= 1950 2 3 5551234567\nPosition = 1950 2 3\nOrigin = 5551234567"))
    words, _ = parsed(original("metaimage", path).content)
    assert {"CenterOfRotation", "Position", "Origin"}.isdisjoint(words)


@pytest.mark.parametrize("compressed", [True, False])
def test_bad_metaimages_are_refused(tmp_path: Path, compressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = metaimage(tmp_path / "x.mhd", hounsfield(5, 6, 7), compressed=compressed)
    data = path.with_suffix(".zraw" if compressed else ".raw")
    whole, head = data.read_bytes(), path.read_bytes()
    data.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=f"{data.name} is cut short"):
        original("metaimage", path)
    data.write_bytes(whole)
    if compressed:
        data.write_bytes(whole[:50] + bytes(50) + whole[100:])
        with pytest.raises(ValueError, match=r"x.zraw (is damaged|is cut short|holds)"):
            original("metaimage", path)
        data.write_bytes(zlib.compress(bytes(419)))
        with pytest.raises(ValueError, match="holds 419 bytes of voxels, the header says 420"):
            original("metaimage", path)
    path.write_bytes(head.replace(b"7 6 5", b"700000 600000 5"))
    with pytest.raises(ValueError, match="cannot hold" if compressed else "is cut short"):
        original("metaimage", path)
    path.write_bytes(head)
    data.write_bytes(whole)
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 100)
    with pytest.raises(ValueError, match="an array of 420 bytes: more than the 100"):
        original("metaimage", path)


def series(folder: Path, **changes: Any) -> Any:
    """A series whose file names run against its slices."""
    pixels = hounsfield(4, 6, 5)
    for place in range(4):
        ct_slice(folder / f"Doe-{9 - place}.dcm", pixels[place], z=2.5 * place, number=place, **changes)
    return pixels


def slices(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def test_a_series_is_a_zip_of_its_slices_in_order(tmp_path: Path) -> None:
    pixels = series(tmp_path / "series")
    found = original("dicom-series", tmp_path / "series", {}, {"slices": 2, "values": "hounsfield"})
    inside = slices(found.content)
    assert (found.format, list(inside)) == ("zip", ["0000.dcm", "0001.dcm", "0002.dcm", "0003.dcm"])
    np.testing.assert_array_equal(np.stack([one.pixel_array for one in inside.values()]), pixels)
    for one in inside.values():
        assert (one.PatientName, one.PatientID, one.PatientAge, one.PatientSex) == ("", "", "061Y", "F")
        assert one.SeriesInstanceUID == uid("1.2.3", KEY)
    assert b"Doe" not in found.content
    assert findings("zip", found.content, "Doe John") == []
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.write(tmp_path / "series" / "Doe-9.dcm", "Doe-9.dcm")
    assert "Doe-9.dcm, PatientName: person's name" in findings("zip", raw.getvalue())
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        archive.extractall(tmp_path / "again")
    again = read("dicom-series", tmp_path / "again")
    np.testing.assert_array_equal(values(again), pixels, strict=True)
    assert again.fields == read("dicom-series", tmp_path / "series").fields


def test_slices_that_cannot_be_kept(tmp_path: Path) -> None:
    """One slab is read before text is met in another; the original is of all."""
    series(tmp_path)
    path = tmp_path / "Doe-6.dcm"
    whole = path.read_bytes()
    dataset = pydicom.dcmread(path)
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    dataset.Modality = "OT"
    dataset.save_as(path)
    with pytest.raises(SampleError, match="burned_in = 'allow'"):
        original("dicom-series", tmp_path, {"slices": 2})
    assert len(slices(original("dicom-series", tmp_path, {"burned_in": "allow"}).content)) == 4
    close_all()
    path.write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"Doe-6\.dcm"):
        original("dicom-series", tmp_path)


def test_other_adapters_of_these_formats_keep_them_too() -> None:
    for name in ("lidc", "lndb"):
        assert configured(name, {})[0].raw is not None
