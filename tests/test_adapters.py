"""Adapters: each format's values compared with an independent reading of the same file, and bad files refused."""

import csv
import io
import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from PIL import Image

from adapter_reading import read, rows, values
from ropeway.decoders.libraries import require
from ropeway.errors import UsageError
from ropeway_shardgen.adapters import adapter, adapters
from ropeway_shardgen.adapters.adapter import array_payload, npy
from ropeway_shardgen.problems import SampleError
from shardgen_raw import png, real_root

DICOM = Path(pydicom.data.__file__).parent / "test_files"


# npy


@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("dtype", ["<f4", "|u1", "<i2", "|b1"])
def test_npy_is_what_numpy_writes(shape: tuple[int, ...], dtype: str) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    again = np.load(io.BytesIO(npy(array)), allow_pickle=False)
    np.testing.assert_array_equal(again, array, strict=True)
    assert len(npy(array)) % 64 == array.nbytes % 64


def test_npy_golden() -> None:
    head = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }"
    assert npy(np.array([1, 2], "<i2")) == head.ljust(127) + b"\n\x01\x00\x02\x00"


def test_arrays_are_stored_little_endian_in_c_order() -> None:
    payload = array_payload(np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)), ("a", "b"))
    assert payload.dtype == "<i2"
    assert payload.content.endswith(struct.pack("<6h", *range(6)))


def test_python_objects_are_never_stored() -> None:
    with pytest.raises(ValueError, match="not a plain array"):
        npy(np.array([{}], dtype=object))


def test_unknown_adapter_and_missing_extra() -> None:
    with pytest.raises(UsageError, match=r"no adapter 'mha'; there is: .*image"):
        adapter("mha")
    with pytest.raises(UsageError, match=r"no_such_module is not installed: pip install 'ropeway\[dicom\]'"):
        require("no_such_module", "dicom")
    assert all(adapter(name) for name in adapters())


# images


def test_images_are_passed_on_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(3))
    Image.new("RGB", (30, 20)).save(tmp_path / "y.jpeg")
    grey, colour = read("image", tmp_path / "x.png"), read("image", tmp_path / "y.jpeg")
    assert (grey.content, grey.format, grey.shape) == (png(3), "png", (24, 24))
    assert (colour.content, colour.format, colour.shape) == ((tmp_path / "y.jpeg").read_bytes(), "jpg", (20, 30, 3))
    assert colour.fields == {"height": 20, "width": 30, "mode": "RGB", "bits": 8, "orientation": 1}
    assert rows("image", tmp_path / "y.jpeg") == [colour.fields]


def test_bad_images(tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    Image.new("L", (3, 3)).save(tmp_path / "x.bmp")
    bad = {"cut.jpg": whole[:5000], "cut.png": png(1)[:-30], "text.jpg": b"hello", "empty.png": b""}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    for name in (*bad, "x.bmp"):
        with pytest.raises((ValueError, OSError, SyntaxError)):
            read("image", tmp_path / name)


# tables


def test_table_columns_become_a_vector() -> None:
    fields = {"age": "61", "sex": "M", "weight": None, "ecog": "1.0", "row": 3}
    payload = read("table", Path(), fields, columns=["age", "sex", "weight", "ecog"], codes={"sex": ["F", "M"]})
    np.testing.assert_array_equal(values(payload), np.array([61, 1, math.nan, 1], np.float32), strict=True)
    assert payload.channels == ("age", "sex", "weight", "ecog")
    with pytest.raises(SampleError, match="column 'sex': 'X' is none of: F, M"):
        read("table", Path(), {"sex": "X"}, columns=["sex"], codes={"sex": ["F", "M"]})
    with pytest.raises(SampleError, match="column 'age': 'old' is not a number"):
        read("table", Path(), {"age": "old"}, columns=["age"])


# DICOM


def test_native_dicom_pixels_are_the_file_s_last_bytes() -> None:
    path = DICOM / "CT_small.dcm"
    payload = read("dicom", path)
    raw = np.frombuffer(path.read_bytes(), "<i2")
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW") + 12
    np.testing.assert_array_equal(values(payload), np.frombuffer(content[at:], "<i2", 128 * 128).reshape(128, 128))
    assert payload.axes == ("height", "width")
    assert raw.size > 0
    assert payload.fields["intercept"] == -1024


@pytest.mark.parametrize(
    "syntax", ["RLE", "bigendian", "implicit", "jp2klossless", "jpeg_ls_lossless", "expb", "padded"]
)
def test_one_image_in_all_transfer_syntaxes_is_one_array(syntax: str) -> None:
    plain = values(read("dicom", DICOM / "MR_small.dcm"))
    np.testing.assert_array_equal(values(read("dicom", DICOM / f"MR_small_{syntax}.dcm")), plain, strict=True)


@pytest.mark.filterwarnings("ignore")  # the files are of their own kind on purpose
@pytest.mark.parametrize(
    ("name", "plain", "most"),
    [
        ("SC_rgb_gdcm_KY", "SC_rgb_rle", 0),  # JPEG 2000
        ("SC_rgb_jpeg_gdcm", "SC_rgb_rle", 0),  # JPEG lossless, first-order prediction
        ("SC_rgb_dcmtk_+eb+cr", "SC_rgb_rle", 1),  # JPEG baseline, as RGB
        ("SC_rgb_jpeg_dcmtk", "SC_rgb_rle", 6),  # JPEG baseline, as YBR_FULL
        ("SC_ybr_full_422_uncompressed", "SC_rgb_rle", 6),
        ("SC_rgb_jls_lossy_sample", "SC_rgb_rle", 2),  # JPEG-LS, two off at most
        ("SC_rgb_small_odd_big_endian", "SC_rgb_small_odd", 0),
        ("liver_expb_1frame", "liver_1frame", 0),  # one bit a pixel
        ("rtdose_expb", "rtdose", 0),  # 32 bits, 15 frames
        ("rtdose_rle", "rtdose", 0),
    ],
)
def test_a_picture_is_the_same_in_another_transfer_syntax(name: str, plain: str, most: int) -> None:
    one, other = (values(read("dicom", DICOM / f"{file}.dcm", burned_in="allow")) for file in (name, plain))
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert np.abs(one.astype(np.int64) - other).max() <= most


def test_deflated_and_twelve_bit_dicom() -> None:
    content = (DICOM / "image_dfl.dcm").read_bytes()
    inflated = zlib.decompressobj(-15).decompress(content[334:])  # behind the file's meta header
    pixels = np.frombuffer(inflated[-(512 * 512) :], np.uint8).reshape(512, 512)
    np.testing.assert_array_equal(values(read("dicom", DICOM / "image_dfl.dcm", burned_in="allow")), pixels)
    extended = values(read("dicom", DICOM / "JPGExtended.dcm", burned_in="allow"))
    assert (extended.dtype, extended.shape, extended.max()) == (np.uint16, (1024, 256), 264)  # as SimpleITK reads it


def test_colour_and_frames() -> None:
    palette = read("dicom", DICOM / "examples_palette.dcm", burned_in="allow")
    assert (palette.shape, palette.axes) == ((350, 800, 3), ("height", "width", "channel"))
    clip = read("dicom", DICOM / "examples_ybr_color.dcm", burned_in="allow")
    assert (clip.shape, clip.axes) == ((30, 240, 320, 3), ("frame", "height", "width", "channel"))
    assert values(clip)[..., 0].std() > 10


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_dicom_header_passes_an_allow_list_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = pydicom.dcmread(DICOM / "MR_small.dcm")
    secrets = {
        "PatientName": "Planted^Name", "PatientBirthDate": "19230405", "InstitutionName": "Planted Hospital",
        "PatientComments": "planted comment", "StudyDate": "20010203", "AccessionNumber": "PLANTED7",
        "PatientAge": "099Y", "PatientSex": "Planted", "BodyPartExamined": "BRAIN",
    }  # fmt: skip
    for name, value in secrets.items():
        setattr(dataset, name, value)
    dataset.add_new(0x00091001, "LO", "planted private")
    dataset.save_as(tmp_path / "x.dcm")
    caplog.clear()
    row = rows("dicom", tmp_path / "x.dcm")[0]
    assert not caplog.records
    found = json.dumps({**row, **read("dicom", tmp_path / "x.dcm").fields})
    assert "lanted" not in found.lower()
    assert not any(word in found for word in ("1923", "2001", "PLANTED7"))
    assert (row["age"], row["sex"], row["body_part"], row["modality"]) == (90, None, "BRAIN", "MR")
    assert set(adapter("dicom").identifiers) == {"patient", "study", "series", "instance"}


def test_unreadable_dicom(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pixel data is less than expected"):
        read("dicom", DICOM / "MR_truncated.dcm")
    with pytest.raises(ValueError, match="a DICOM object without pixels"):
        read("dicom", DICOM / "waveform_ecg.dcm")
    (tmp_path / "x.dcm").write_bytes(b"not dicom at all")
    with pytest.raises(pydicom.errors.InvalidDicomError):
        rows("dicom", tmp_path / "x.dcm")


def test_ecg_windows() -> None:
    path = DICOM / "waveform_ecg.dcm"
    listed = rows("dicom-waveform", path, seconds=2.5)
    assert [row["start"] for row in listed] == [0, 2.5, 5, 7.5]
    assert (listed[0]["scale"], listed[0]["units"], listed[0]["sampling_rate"]) == (1.25, "uV", 1000)
    payload = read("dicom-waveform", path, listed[1], seconds=2.5)
    group = pydicom.dcmread(path).WaveformSequence[0]
    whole = np.frombuffer(group.WaveformData, "<i2").reshape(10000, 12).T
    np.testing.assert_array_equal(values(payload), whole[:, 2500:5000], strict=True)
    assert payload.channels == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert (payload.sampling_rate, payload.axes) == (1000, ("lead", "time"))
    physical = values(read("dicom-waveform", path, listed[1], seconds=2.5, values="physical"))
    np.testing.assert_array_equal(physical, (whole[:, 2500:5000] * 1.25).astype(np.float32), strict=True)
    beat = read("dicom-waveform", path, {"window": 0}, seconds=1.2, group=1)
    assert beat.shape == (12, 1200)


def test_bad_waveforms() -> None:
    with pytest.raises(ValueError, match="without waveforms"):
        rows("dicom-waveform", DICOM / "CT_small.dcm", seconds=1)
    with pytest.raises(ValueError, match="no waveform group 5"):
        rows("dicom-waveform", DICOM / "waveform_ecg.dcm", seconds=1, group=5)
    with pytest.raises(ValueError, match="not a whole number of values"):
        rows("dicom-waveform", DICOM / "waveform_ecg.dcm", seconds=0.0005)


# NIfTI


@pytest.mark.parametrize(("name", "dtype"), [("anatomical.nii", ">i2"), ("reoriented_anat_moved.nii", ">f4")])
def test_nifti_voxels_against_the_bytes(name: str, dtype: str) -> None:
    path = real_root() / "nibabel/tests/data" / name
    content = path.read_bytes()
    shape = struct.unpack(">3h", content[42:48])
    offset = int(struct.unpack(">f", content[108:112])[0])
    raw = np.frombuffer(content, dtype, int(np.prod(shape)), offset).reshape(shape[::-1])
    payload = read("nifti", path)
    np.testing.assert_array_equal(values(payload), raw.astype(dtype.replace(">", "<")), strict=True)
    assert payload.axes == ("slice", "height", "width")


def test_nifti_geometry() -> None:
    root = real_root() / "nibabel/tests/data"
    fields = rows("nifti", root / "functional.nii")[0]
    assert (fields["orientation"], fields["dimensions"], fields["time_step"]) == ("SAL", 4, 2.0)
    assert (fields["spacing_x"], fields["spacing_y"], fields["spacing_z"]) == (4, 4, 8)
    assert (fields["slope"], fields["intercept"]) == (1, 0)
    np.testing.assert_array_equal(json.loads(fields["affine"])[0], [0, 0, -4, 32])
    assert read("nifti", root / "example_nifti2.nii.gz").shape == (2, 12, 20, 32)


def test_bad_nifti(tmp_path: Path) -> None:
    whole = (real_root() / "nibabel/tests/data/anatomical.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[:2000])
    with pytest.raises((ValueError, OSError)):
        read("nifti", tmp_path / "cut.nii")


# EDF


def test_eeg_windows_against_the_bytes() -> None:
    path = real_root() / "pyedflib/tests/data/test_subsecond.edf"
    content = path.read_bytes()
    signals = int(content[252:256])
    header = 256 * (signals + 1)
    per_record = [int(content[256 + signals * 216 + 8 * n :][:8]) for n in range(signals)]
    records = np.frombuffer(content[header:], "<i2").reshape(-1, sum(per_record))
    digital = records[:, :128].reshape(-1)
    listed = rows("edf", path, seconds=2)
    assert len(listed) == 349
    assert [row["annotations"] for row in listed][0:2] == ["XLSpike", "Clip Note"]
    payload = read("edf", path, listed[4], seconds=2, values="stored")
    np.testing.assert_array_equal(values(payload)[0], digital[4 * 256 : 5 * 256], strict=True)
    physical = read("edf", path, listed[4], seconds=2)
    scaled = values(payload) * float(payload.fields["scale"] or 0) + float(payload.fields["offset"] or 0)
    np.testing.assert_allclose(values(physical), scaled, atol=1e-3)
    assert (physical.units, physical.channels, physical.sampling_rate) == ("uV", ("Fp1",), 128)


def test_bad_edf(tmp_path: Path) -> None:
    path = real_root() / "pyedflib/tests/data/test_subsecond.edf"
    with pytest.raises(ValueError, match="no signal 'C3'; there is: Fp1"):
        rows("edf", path, seconds=2, channels=["C3"])
    (tmp_path / "x.edf").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OSError, match="EDF"):
        rows("edf", tmp_path / "x.edf", seconds=2)


# h5ad


def test_expression_rows() -> None:
    import h5py

    path = real_root() / "scanpy/datasets/10x_pbmc68k_reduced.h5ad"
    listed = rows("h5ad", path)
    assert len(listed) == 700
    assert [listed[0][name] for name in ("cell", "bulk_labels", "phase")] == [
        "AAAGCCTGGCTAAC-1",
        "CD14+ Monocyte",
        "G1",
    ]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(values(read("h5ad", path, listed[41])), file["X"][41], strict=True)
        sparse, (start, stop) = file["raw.X"], file["raw.X/indptr"][41:43]
        row = values(read("h5ad", path, listed[41], matrix="raw/X"))
        assert np.count_nonzero(row) == stop - start
        np.testing.assert_array_equal(row[sparse["indices"][start:stop]], sparse["data"][start:stop])
    assert read("h5ad", path, listed[41], matrix="raw/X").channels[:2] == ("HES4", "TNFRSF4")
    with pytest.raises(ValueError, match="there is no 'layers/counts'"):
        rows("h5ad", path, matrix="layers/counts")


def test_expression_files_of_today(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["obs/_index"] = ["c1", "c2"]
        file["obs"].attrs["_index"] = "_index"
        file["obs/type/categories"] = ["B", "T"]
        file["obs/type/codes"] = np.array([1, -1], np.int8)
        file["obs/age"] = [3, 4]
        file["var/gene"] = ["g1", "g2", "g3"]
        file["var"].attrs["_index"] = "gene"
        csr = file.create_group("X")
        csr.attrs.update({"encoding-type": "csr_matrix", "shape": (2, 3)})
        csr["data"], csr["indices"], csr["indptr"] = np.array([5, 6], "f4"), [2, 0], [0, 1, 2]
    listed = rows("h5ad", tmp_path / "x.h5ad")
    assert listed == [
        {"cell": "c1", "row": 0, "type": "T", "age": 3},
        {"cell": "c2", "row": 1, "type": None, "age": 4},
    ]
    payload = read("h5ad", tmp_path / "x.h5ad", listed[1])
    assert values(payload).tolist() == [6, 0, 0]
    assert payload.channels == ("g1", "g2", "g3")


def test_the_clinical_tables_are_read_as_csv_reads_them() -> None:
    with (real_root() / "lifelines/datasets/gbsg2.csv").open() as file:
        cells = list(csv.DictReader(file))
    from ropeway_shardgen.plan import make_plan
    from ropeway_shardgen.recipe import load

    plan = make_plan(load("gbsg2"), real_root())
    samples = {sample.key: sample for shard in plan.shards for sample in shard.samples}
    for number, row in enumerate(cells, 1):
        sample = samples[f"{number:04}"]
        assert sample.labels["recurrence"] == int(row["cens"])
        assert sample.labels["recurrence-time"] == (float(row["time"]) if row["cens"] == "1" else None)
        assert sample.meta["age"] == int(row["age"])
