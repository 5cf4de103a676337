"""Volumes: MetaImage, DICOM series and NIfTI, compared with the bytes that were written; bad ones are refused."""

import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_reading import Fields, read, rows, values
from contents import Counted
from raw_volumes import ct_slice, hounsfield, metaimage, nifti
from ropeway.decode import FileDecoder
from ropeway.manifest import Part
from ropeway.model_ready import Hounsfield
from ropeway.readings import Reading, Slab
from ropeway_shardgen.adapters import Payload, adapter
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.formats.geometry import from_lps, orientation
from ropeway_shardgen.formats.slabs import SlabOptions, slabs
from ropeway_shardgen.recipe import configured

VOXELS = np.random.default_rng(0).integers(-1024, 3000, (5, 3, 4), np.int16)


def text(payload: Payload, name: str) -> str:
    found = payload.fields[name]
    assert isinstance(found, str)
    return found


# slabs


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 30))
def test_slabs_hold_every_slice(depth: int, size: int, stride: int) -> None:
    found = list(slabs(depth, SlabOptions(slices=size, stride=min(size, stride))))
    assert {place for slab in found for place in range(slab.start, slab.stop)} == set(range(depth))
    assert all(slab.stop - slab.start == min(size, depth) for slab in found)
    assert len({slab.start for slab in found}) == len(found)
    assert [slab.number for slab in found] == list(range(len(found)))


def test_a_stride_that_leaves_out_slices_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves out slices"):
        SlabOptions(slices=4, stride=5)


# geometry


def test_orientation_names_the_side_that_an_axis_runs_to() -> None:
    affine = from_lps(np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]), np.zeros(3))
    assert orientation(affine) == "SPL"
    assert orientation(np.diag([1.0, 1, 0, 1])) == "RA?"
    tools: Any = nibabel.orientations
    for codes in ("LAS", "RAS", "SPL", "AIR"):
        ornt = tools.axcodes2ornt(tuple(codes))
        own = np.eye(4)
        own[:3, :3] = np.zeros((3, 3))
        for axis, (side, way) in enumerate(ornt):
            own[int(side), axis] = way
        assert orientation(own) == codes


# MetaImage


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_metaimages_are_read_as_written(tmp_path: Path, big_endian: bool, compressed: bool, local: bool) -> None:
    path = metaimage(tmp_path / "x.mhd", VOXELS, big_endian=big_endian, compressed=compressed, local=local)
    payload = read("metaimage", path)
    np.testing.assert_array_equal(values(payload), VOXELS, strict=True)
    assert payload.axes == ("slice", "height", "width")
    for place in range(4):
        slab = read("metaimage", path, {"first_slice": place, "slices": 2}, slices=2, stride=1)
        np.testing.assert_array_equal(values(slab), VOXELS[place : place + 2], strict=True)


def test_a_metaimage_says_where_its_voxels_lie(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "x.mhd", VOXELS, spacing=(0.5, 0.75, 2.0), origin=(-10.0, -20.0, 30.0))
    payload = read("metaimage", path)
    affine = np.array(json.loads(text(payload, "affine")))
    # Slice 2, row 1, column 3 lies at (-10 + 1.5, -20 + 0.75, 30 + 4) in LPS, so at (8.5, 19.25, 34) in RAS.
    np.testing.assert_allclose(affine @ [2, 1, 3, 1], [8.5, 19.25, 34, 1])
    assert payload.fields["orientation"] == "SPL"
    assert [payload.fields[f"spacing_{axis}"] for axis in "xyz"] == [0.5, 0.75, 2.0]
    assert "Doe" not in str(payload.fields)
    assert [row["first_slice"] for row in rows("metaimage", path, slices=2)] == [0, 2, 3]


def test_the_rows_of_a_metaimage_s_matrix_are_the_directions_of_its_axes(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "x.mhd", VOXELS, spacing=(0.5, 0.75, 2.0), origin=(-10.0, -20.0, 30.0))
    oblique = b"TransformMatrix = 1 0 0 0 0.8 0.6 0 -0.6 0.8"
    path.write_bytes(path.read_bytes().replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1", oblique))
    affine = np.array(json.loads(text(read("metaimage", path), "affine")))
    # Column 3, row 1, slice 2: 1.5 along x, 0.75 along (0, 0.8, 0.6), 4 along (0, -0.6, 0.8), as SimpleITK 2.5 has it.
    np.testing.assert_allclose(affine @ [2, 1, 3, 1], [8.5, 20 - 0.6 + 2.4, 30 + 0.45 + 3.2, 1])


def test_other_kinds_of_metaimages(tmp_path: Path) -> None:
    colour = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    header = b"ObjectType = Image\nNDims = 2\nDimSize = 4 2\nElementNumberOfChannels = 3\nHeaderSize = -1\n"
    header += b"ElementType = MET_UCHAR\nElementDataFile = c.raw\n"
    (tmp_path / "c.mhd").write_bytes(header)
    (tmp_path / "c.raw").write_bytes(b"some header" + colour.tobytes())
    payload = read("metaimage", tmp_path / "c.mhd")
    np.testing.assert_array_equal(values(payload), colour, strict=True)
    assert payload.axes == ("height", "width", "channel")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ((b"DimSize = 4 3 5", b"DimSize = 40000 30000 50000"), "cut short"),
        ((b"DimSize = 4 3 5", b"DimSize = 4 -3 5"), "not a MetaImage of 2 to 4 dimensions"),
        ((b"NDims = 3", b"NDims = 2"), "not a MetaImage of 2 to 4 dimensions"),
        ((b"MET_SHORT", b"MET_STRING"), "voxels of type 'MET_STRING'"),
        ((b"= x.raw", b"= ../x.raw"), "does not lie beside it"),
        ((b"= x.raw", b"= LIST"), "several data files"),
        ((b"ElementDataFile", b"Elephant"), "no ElementDataFile"),
        ((b"ElementSpacing = 1.0 1.0 1.0", b"ElementSpacing = 1.0 wide 1.0"), "not numbers"),
        ((b"ElementSpacing = 1.0 1.0 1.0", b"ElementSpacing = 1.0 1.0"), "the spacing has 2 numbers"),
    ],
)
def test_bad_metaimage_headers(tmp_path: Path, change: tuple[bytes, bytes], problem: str) -> None:
    path = metaimage(tmp_path / "x.mhd", VOXELS)
    content = path.read_bytes()
    assert change[0] in content
    path.write_bytes(content.replace(*change))
    with pytest.raises(ValueError, match=problem):
        read("metaimage", path)


@pytest.mark.parametrize("compressed", [False, True])
def test_metaimages_cut_short(tmp_path: Path, compressed: bool) -> None:
    path = metaimage(tmp_path / "x.mhd", VOXELS, compressed=compressed)
    data = path.with_suffix(".zraw" if compressed else ".raw")
    data.write_bytes(data.read_bytes()[:-5])
    with pytest.raises(ValueError, match="cut short"):
        read("metaimage", path)


def test_a_metaimage_that_says_more_than_deflate_can_hold(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "x.mhd", VOXELS, compressed=True)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 4 3 5", b"DimSize = 4000 3000 5000"))
    with pytest.raises(ValueError, match="cannot hold"):
        read("metaimage", path)
    path.with_suffix(".zraw").write_bytes(b"no stream of zlib" * 9)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 4000 3000 5000", b"DimSize = 4 3 5"))
    with pytest.raises(ValueError, match="damaged"):
        read("metaimage", path)


def test_the_data_file_is_a_companion(tmp_path: Path) -> None:
    found, told = configured("metaimage", {})
    path = metaimage(tmp_path / "x.mhd", VOXELS)
    assert list(found.companions(path, told)) == [tmp_path / "x.raw"]
    assert list(found.companions(metaimage(tmp_path / "y.mha", VOXELS, local=True), told)) == []


# DICOM series


def series(folder: Path, **changes: Any) -> tuple[Path, np.ndarray[Any, Any]]:
    """Slices whose file names and instance numbers run against their places."""
    for place in range(5):
        ct_slice(folder / f"{9 - place}.dcm", VOXELS[place], z=-40 + 2.5 * place, number=5 - place, **changes)
    return folder, VOXELS


def test_slices_are_sorted_by_where_they_lie(tmp_path: Path) -> None:
    folder, voxels = series(tmp_path / "s")
    payload = read("dicom-series", folder)
    np.testing.assert_array_equal(values(payload), voxels, strict=True)
    assert payload.axes == ("slice", "height", "width")
    affine = np.array(json.loads(text(payload, "affine")))
    np.testing.assert_allclose(affine @ [2, 1, 3, 1], [100 - 3 * 0.6, 90 - 0.7, -35, 1])
    assert payload.fields["orientation"] == "SPL"
    assert payload.fields["spacing_slice"] == 2.5
    assert (payload.fields["slope"], payload.fields["intercept"], payload.fields["depth"]) == (1, -1024, 5)
    assert "Doe" not in str(payload.fields)


def test_slabs_of_a_series(tmp_path: Path) -> None:
    folder, voxels = series(tmp_path / "s")
    found = rows("dicom-series", folder, slices=2)
    assert [row["first_slice"] for row in found] == [0, 2, 3]
    assert {row["patient"] for row in found} == {"Doe"}
    assert set(adapter("dicom-series").identifiers) <= found[0].keys()
    for row in found:
        slab = values(read("dicom-series", folder, row, slices=2))
        np.testing.assert_array_equal(slab, voxels[row["first_slice"] :][:2], strict=True)


def test_a_tilted_series_is_sorted_along_its_normal(tmp_path: Path) -> None:
    tilt = np.array([1, 0, 0, 0, np.cos(0.3), np.sin(0.3)])
    normal = np.cross(tilt[:3], tilt[3:])
    for place in range(5):
        ct_slice(
            tmp_path / f"{place}.dcm",
            VOXELS[place],
            position=(3 * (4 - place) * normal).tolist(),
            orientation=tilt.tolist(),
        )
    payload = read("dicom-series", tmp_path)
    np.testing.assert_array_equal(values(payload), VOXELS[::-1], strict=True)
    assert payload.fields["spacing_slice"] == pytest.approx(3)


def test_one_real_slice_is_a_volume(tmp_path: Path) -> None:
    source = Path(pydicom.data.__file__).parent / "test_files/CT_small.dcm"
    (tmp_path / "a.dcm").write_bytes(source.read_bytes())
    payload = read("dicom-series", tmp_path)
    assert payload.fields["spacing_slice"] is None
    np.testing.assert_array_equal(values(payload)[0], pydicom.dcmread(source).pixel_array, strict=True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"z": -37.5}, "two slices at one place"),
        ({"z": -20}, "slices are missing or uneven: 10 mm between .*, elsewhere 2.5"),
        ({"series": "1.2.9"}, "another series than"),
        ({"slope": 2}, "another slope than"),
        ({"orientation": [0, 1, 0, 0, 0, -1]}, "another orientation than"),
        ({"kind": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer"),
        ({"pixels": VOXELS[0][:2]}, "another height than"),
        ({"position": []}, "ImagePositionPatient"),
    ],
)
def test_what_is_not_one_even_stack_is_refused(tmp_path: Path, changes: Fields, problem: str) -> None:
    folder, _ = series(tmp_path)
    ct_slice(folder / "x.dcm", **{"pixels": VOXELS[0], "z": -27.5, **changes})
    with pytest.raises(ValueError, match=problem):
        read("dicom-series", folder)


def test_other_files_of_a_series(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file \*.dcm in the folder"):
        read("dicom-series", tmp_path)
    folder, _ = series(tmp_path)
    (folder / "notes.xml").write_text("<x/>")
    assert values(read("dicom-series", folder)).shape == (5, 3, 4)
    (folder / "0.dcm").write_text("no image")
    close_all()
    with pytest.raises(ValueError, match=r"0\.dcm is not a DICOM file"):
        read("dicom-series", folder)
    close_all()
    whole = (folder / "9.dcm").read_bytes()
    (folder / "0.dcm").unlink()
    (folder / "9.dcm").write_bytes(whole[:-7])
    with pytest.raises(ValueError, match=r"9\.dcm cannot be read"):
        read("dicom-series", folder)


# NIfTI


def stored(path: Path) -> Any:
    """A file's voxels by nibabel, (x, y, z[, time])."""
    loaded: Any = nibabel
    return np.asanyarray(loaded.load(path).dataobj)


def test_a_nifti_s_voxels_lie_as_in_the_file_and_its_affine_is_of_their_axes(tmp_path: Path) -> None:
    affine = np.array([[-0.8, 0, 0, 90], [0, 0.8, 0, -126], [0, 0, 5, -72], [0, 0, 0, 1]])
    path = nifti(tmp_path / "x.nii", VOXELS, affine)
    payload = read("nifti", path)
    assert payload.axes == ("slice", "height", "width")
    np.testing.assert_array_equal(values(payload), stored(path).T, strict=True)
    assert bytes(payload.content)[-VOXELS.nbytes :] == path.read_bytes()[-VOXELS.nbytes :]
    found = np.array(json.loads(text(payload, "affine")))
    np.testing.assert_allclose(found @ [2, 1, 3, 1], affine @ [3, 1, 2, 1], rtol=1e-6)
    assert payload.fields["orientation"] == "SAL"
    turned = read("nifti", path, slice_axis="x")
    np.testing.assert_allclose(json.loads(text(turned, "affine")), affine, rtol=1e-6)
    assert turned.fields["orientation"] == "LAS"


def test_a_volume_lies_the_same_way_whatever_its_format(tmp_path: Path) -> None:
    folder, voxels = series(tmp_path / "s")
    found = [
        read("dicom-series", folder),
        read("metaimage", metaimage(tmp_path / "x.mhd", voxels)),
        read("nifti", nifti(tmp_path / "x.nii.gz", voxels.T)),
        read("nifti", nifti(tmp_path / "turned.nii.gz", voxels), slice_axis="x"),
    ]
    assert {payload.axes for payload in found} == {("slice", "height", "width")}
    for payload in found:
        np.testing.assert_array_equal(values(payload), voxels, strict=True)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 3, 2), (5, 4, 3, 2, 6)])
def test_niftis_of_any_number_of_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    path = nifti(tmp_path / "x.nii.gz", voxels)
    payload = read("nifti", path)
    assert payload.axes == ("5", "time", "slice", "height", "width")[-len(shape) :]
    np.testing.assert_array_equal(values(payload), voxels.T, strict=True)
    turned = read("nifti", path, slice_axis="x", values="hounsfield")
    back = voxels.transpose(*range(3, voxels.ndim)[::-1], *range(min(3, voxels.ndim)))
    np.testing.assert_array_equal(values(turned), back.astype(np.int16), strict=True)
    assert (turned.axes, turned.units) == (payload.axes, "HU")


def test_axes_that_a_recipe_names(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii.gz", np.zeros((4, 3, 2, 6), np.uint8))
    named = ["direction", "slice", "height", "width"]
    assert read("nifti", path, axes=named).axes == tuple(named)
    with pytest.raises(ValueError, match="a volume of 4 axes, the recipe names 3"):
        read("nifti", path, axes=named[1:])


@pytest.mark.parametrize("slice_axis", ["z", "x"])
def test_of_a_slab_of_a_packed_nifti_only_its_slices_are_read(tmp_path: Path, slice_axis: str) -> None:
    scan = hounsfield(40, 8, 8)  # (slice, height, width)
    path = nifti(tmp_path / "x.nii.gz", scan.T if slice_axis == "z" else scan)
    payload = read("nifti", path, slice_axis=slice_axis, values="hounsfield")
    part = Part(name="ct", kind="volume", format="npy", dtype=payload.dtype, axes=payload.axes, units=payload.units)
    readings: list[tuple[Reading, Any]] = [
        (Hounsfield(-600, 1500, size=8), ((scan[8:32] + np.float32(1350)) / 1500).clip(0, 1)),
        (Slab(8, 32), scan[8:32]),
    ]
    for reading, expected in readings:
        decoder, _ = reading.of(part)
        assert isinstance(decoder, FileDecoder)
        file = Counted(bytes(payload.content))
        np.testing.assert_allclose(decoder.read(file), expected, atol=1e-6)
        assert (file.reads, file.taken) == (2, 128 + 24 * 8 * 8 * 2)


def test_colour_voxels_get_an_axis_of_their_own(tmp_path: Path) -> None:
    colours = np.arange(72, dtype=np.uint8).reshape(4, 3, 2, 3)
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = nifti(tmp_path / "x.nii.gz", np.ascontiguousarray(colours).view(rgb)[..., 0])
    payload = read("nifti", path)
    np.testing.assert_array_equal(values(payload), colours.transpose(2, 1, 0, 3), strict=True)
    assert payload.axes == ("slice", "height", "width", "channel")
    np.testing.assert_array_equal(values(read("nifti", path, slice_axis="x")), colours, strict=True)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_niftis_cut_short(tmp_path: Path, suffix: str) -> None:
    path = nifti(tmp_path / f"x{suffix}", np.zeros((20, 20, 20), np.int16) + np.arange(20, dtype=np.int16))
    whole = path.read_bytes()
    for cut in (len(whole) - 9, len(whole) // 2, 100, 0):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"cut short|ImageFileError|EOFError|error"):
            read("nifti", path)


def test_a_nifti_that_says_it_is_larger_than_it_can_be(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii", VOXELS)
    content = bytearray(path.read_bytes())
    content[42:48] = struct.pack("<3h", 30000, 30000, 30000)
    (tmp_path / "y.nii.gz").write_bytes(gzip.compress(content))
    path.write_bytes(content)
    for huge in (path, tmp_path / "y.nii.gz"):
        with pytest.raises(ValueError, match="cut short"):
            read("nifti", huge)
        with pytest.raises(ValueError, match="cut short"):
            rows("nifti", huge)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii.gz", VOXELS)
    content = bytearray(path.read_bytes())
    content[-8:-4] = struct.pack("<I", zlib.crc32(b"something else"))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|cut short"):
        read("nifti", path)
