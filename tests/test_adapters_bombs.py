"""Small files that unpack to a lot, or say that they do: refused in words, before they take memory or time."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from adapter_reading import read, rows
from raw_trees import raw_trees
from raw_volumes import ct_slice, metaimage, nifti
from ropeway_shardgen.adapters import ogb_graph
from ropeway_shardgen.formats import bounded, dicom_file, nifti_blank

VOXELS = np.zeros((4, 4, 4), np.int16)


def zipped(path: Path, start: bytes, *, times: int = 1 << 25) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start + b" " * times)
    return path


def test_a_nifti_that_goes_on(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii.gz", VOXELS)
    zipped(path, gzip.decompress(path.read_bytes()))
    with pytest.raises(ValueError, match="it goes on behind its voxels"):
        read("nifti", path)


def test_an_original_nifti_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1 << 20)
    path = nifti(tmp_path / "x.nii.gz", VOXELS)
    zipped(path, gzip.decompress(path.read_bytes()))
    with pytest.raises(ValueError, match="it unpacks to more than 1,048,576 bytes"):
        nifti_blank.kept(path, b"")


def test_extensions_of_a_nifti_are_not_read(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii", VOXELS)
    content = bytearray(path.read_bytes())
    content[348] = 1
    content[352:352] = (1 << 30).to_bytes(4, "little") + bytes(12)  # an extension that says it is a gibibyte
    content[108:112] = np.float32(368).tobytes()
    path.write_bytes(content)
    assert read("nifti", path).shape == VOXELS.shape


def test_arrays_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 100)
    with pytest.raises(ValueError, match="an array of 480 bytes: more than the 100"):
        read("nifti", nifti(tmp_path / "x.nii.gz", VOXELS))
    for compressed in (True, False):
        with pytest.raises(ValueError, match="an array of 128 bytes: more than the 100"):
            read("metaimage", metaimage(tmp_path / "x.mhd", VOXELS, compressed=compressed))


def test_cells_of_more_genes_than_can_be(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", (2, 1 << 33), "f4", chunks=(1, 1 << 20))
        file.create_group("obs").create_dataset("_index", data=[b"a", b"b"])
        file.create_group("var").create_dataset("_index", (1 << 33,), "S4", chunks=(1 << 20,))
    with pytest.raises(ValueError, match="an array of 34,359,738,368 bytes"):
        read("h5ad", path, {"row": 0})


def deflated(path: Path, size: int) -> Path:
    """A slice as a deflated data set, with a private element of that many zeros before its pixels."""
    dataset = pydicom.dcmread(ct_slice(path, np.zeros((4, 4), np.int16)))
    block = dataset.private_block(0x6001, "made", create=True)
    block.add_new(1, "OB", bytes(size))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    return path


def test_a_deflated_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("dicom", deflated(tmp_path / "x.dcm", 1 << 20)).shape == (4, 4)
    monkeypatch.setattr(dicom_file, "_FREE", 1 << 16)
    for one in (read, rows):
        with pytest.raises(ValueError, match=r"deflated, and more than \d+ bytes in a file of \d+: damaged"):
            one("dicom", deflated(tmp_path / "x.dcm", 1 << 23))


def test_a_geo_dataset_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw_trees()["geo"](tmp_path)
    path = next(tmp_path.glob("**/GDS12.soft.gz"))
    whole = gzip.decompress(path.read_bytes())
    zipped(path, b"^DATABASE = Geo\n!Database_name = ")
    with pytest.raises(ValueError, match="a line is longer than 16,777,216 characters"):
        rows("soft", path)
    monkeypatch.setattr("ropeway_shardgen.adapters.soft._LARGEST", 1 << 20)
    zipped(path, whole)
    with pytest.raises(ValueError, match="it unpacks to more than 1,048,576 bytes"):
        read("soft", path, {"sample": "GSM1"})


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("num-node-list", "it unpacks to more than"),
        ("graph-label", "it unpacks to more than"),
        ("edge", "a line is longer"),
    ],
)
def test_ogb_tables_that_go_on(table: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw_trees()["ogbg-molhiv"](tmp_path)
    monkeypatch.setattr(ogb_graph, "_PER_GRAPH", 1 << 20)
    zipped(tmp_path / "raw" / f"{table}.csv.gz", b"1")
    path = tmp_path / "raw" / "num-node-list.csv.gz"
    with pytest.raises(ValueError, match=problem):
        read("ogb-graph", path, rows("ogb-graph", path, features="int64")[0], features="int64")
