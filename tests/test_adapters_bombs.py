"""Small files that unpack to a lot, or say that they do: refused in words, before they take memory or time."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from adapter_reading import read, rows
from raw_signals import edf
from raw_trees import raw_trees
from raw_volumes import ct_slice, metaimage, nifti
from ropeway_shardgen.adapters import ogb_graph
from ropeway_shardgen.adapters.opened import close_all
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


@pytest.mark.parametrize(
    ("place", "said", "plain", "gapped"),
    [
        (236, "99999999", "Filesize", "cut short: 99999999 records of 1 s, 2368 of 79999999968 bytes"),
        (244, "0       ", "records of 0 s", "cut short: 2 records of 0 s"),
        (244, "nan     ", "Duration", "cut short: 2 records of nan s"),
        (252, "9999", "number of signals", "cut short: a header of 9999 signals in 2368 bytes"),
        (688, "99999999", "Sample in Datarecord", "cut short: 2 records of 1 s, 2368 of 400001564 bytes"),
        (688, "-1      ", "Sample in Datarecord", "a signal without values"),
    ],
)
def test_headers_of_recordings_that_say_too_much(
    place: int, said: str, plain: str, gapped: str, tmp_path: Path
) -> None:
    for path, reserved, problem in ((tmp_path / "x.edf", "", plain), (tmp_path / "y.edf", "EDF+D", gapped)):
        edf(path, {"C3": np.zeros(400, "<i2"), "C4": np.zeros(400, "<i2")}, reserved=reserved)
        content = bytearray(path.read_bytes())
        content[place : place + len(said)] = said.encode()
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError), match=problem):
            rows("edf", path, seconds=1.0)


def test_windows_of_recordings_that_are_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1000)
    edf(tmp_path / "x.edf", {"C3": np.zeros(400, "<i2")})
    with pytest.raises(ValueError, match="an array of 1,600 bytes: more than the 1,000"):
        read("edf", tmp_path / "x.edf", {"first": 0}, seconds=2.0)


def test_signals_in_texts_that_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.txt"
    path.write_text("a b\n1 2\n")
    with path.open("r+b") as file:
        file.truncate(1 << 25)  # zero bytes up to there, which take no room on the disk
    with pytest.raises(ValueError, match="a line is longer than 16,777,216 characters"):
        read("text-signal", path, channels=["a"])
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1 << 20)
    with pytest.raises(ValueError, match="a text of 33,554,432 bytes: more than the 262,144"):
        read("text-signal", path, channels=["a"])


def test_row_groups_that_unpack_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    words = [bytes(1 << 16) + number.to_bytes(2) for number in range(64)]
    pq.write_table(pa.table({"id": words}), path, compression="zstd", row_group_size=16)
    assert path.stat().st_size < 1 << 16
    assert len(rows("columns", path)) == 64
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1 << 21)
    bounded.check_groups(pq.read_metadata(path))  # each of the four by itself is not too large
    close_all()
    with pytest.raises(ValueError, match=r"it says that 4,\d+,\d+ bytes are read at once: more than the 2,097,152"):
        rows("columns", path)
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1 << 20)
    with pytest.raises(ValueError, match=r"it says that 1,\d+,\d+ bytes are read at once: more than the 1,048,576"):
        bounded.check_groups(pq.read_metadata(path))


def test_a_value_that_all_rows_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says of its size is that of one value; read at once, the rows would take four hundred times it."""
    path = tmp_path / "x.parquet"
    word = "a" * (1 << 16)
    pq.write_table(pa.table({"id": [word] * 400, "n": range(400)}), path)
    monkeypatch.setattr(bounded, "LARGEST_ARRAY", 1 << 20)
    bounded.check_groups(pq.read_metadata(path), together=True)
    with pq.ParquetFile(path) as file:
        sizes = [(batch.num_rows, batch.nbytes) for batch in bounded.batches(file)]
    assert sum(rows for rows, _ in sizes) == 400
    assert max(size for _, size in sizes) <= bounded.LARGEST_ARRAY
    with pytest.raises(ValueError, match=r"an array of 1,\d+,\d+ bytes: more than the 1,048,576"):
        rows("columns", path)


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
