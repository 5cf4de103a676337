"""LNDb and LIDC-IDRI: which slabs hold a nodule, by the readers' tables; and tables that mark single slices."""

from pathlib import Path

import numpy as np
import pytest

from adapter_reading import rows
from raw_volumes import ct_slice, metaimage
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.formats.slice_marks import SliceMarks, marks_of
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import configured

VOXELS = np.zeros((20, 3, 4), np.int16)
HEADER = "LNDbID,RadID,FindingID,x,y,z,Nodule,Volume,Text\n"


def scan(root: Path, *findings: str) -> Path:
    """A scan of 20 slices of 2 mm from z = 100 on."""
    (root / "trainNodules.csv").write_text(HEADER + "".join(f"7,{line}\n" for line in findings))
    return metaimage(root / "data/LNDb-0007.mhd", VOXELS, spacing=(1.0, 1.0, 2.0), origin=(0.0, 0.0, 100.0))


@pytest.mark.parametrize(
    ("z", "volume", "slabs"),
    [
        (100, 1.0, [0]),  # 1.2 mm across, in slice 0 alone: its one slice is enough
        (109, 1.0, [0]),  # between slices 4 and 5: rounds to 4
        (110, 1.0, [1]),
        (110, 65.4, [1]),  # 5 mm across: slices 4 to 6, of which one is in the first slab
        (109, 268.1, [0, 1]),  # 8 mm across: slices 3 to 6, two in each
        (138, 8181.2, [2, 3]),  # 25 mm across: slices 13 and on, beyond the last one
    ],
)
def test_a_nodule_is_in_the_slabs_that_hold_two_of_its_slices(
    tmp_path: Path, z: float, volume: float, slabs: list[int]
) -> None:
    path = scan(tmp_path, f"1,1,2,1,{z},1,{volume},5")
    found = rows("lndb", path, slices=5)
    word = "nodule <3 mm" if volume < 14.1 else "nodule >=3 mm"  # 14.137 mm³ is a sphere of 3 mm
    assert [row["slab"] for row in found if row["sizes"] == word] == slabs
    assert [row["sizes"] for row in found].count("none") == 4 - len(slabs)
    assert [row["has_nodule"] for row in found] == [word == "nodule >=3 mm" and row in slabs for row in range(4)]


def test_findings_are_placed_in_the_volume(tmp_path: Path) -> None:
    path = scan(tmp_path, "1,3,2.25,1,106,0,0,0", "2,1,2,1,106,1,65.4,4")
    (first, *_) = rows("lndb", path, slices=10)
    assert first["sizes"] == "nodule >=3 mm"
    assert first["findings"] == (
        '[{"reader": "1", "finding": "3", "nodule": false, "slice": 3.0, "row": 1.0, "column": 2.25, "diameter": 0.0, '
        '"texture": 0.0}, {"reader": "2", "finding": "1", "nodule": true, "slice": 3.0, "row": 1.0, "column": 2.0, '
        '"diameter": 4.999, "texture": 4.0}]'
    )
    found, told = configured("lndb", {"slices": 10})
    names = {file.relative_to(tmp_path).as_posix() for file in found.companions(path, told)}
    assert names == {"data/LNDb-0007.raw", "trainNodules.csv"}


def test_bad_tables_of_findings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finding 1 of reader 1 is neither a nodule nor none"):
        rows("lndb", scan(tmp_path, "1,1,2,1,106,maybe,1,5"), slices=5)
    close_all()
    (tmp_path / "trainNodules.csv").write_text("LNDbID,x\n")
    with pytest.raises(ValueError, match=r"trainNodules\.csv has no column 'RadID'"):
        rows("lndb", tmp_path / "data/LNDb-0007.mhd", slices=5)


# LIDC


def series(folder: Path, readings: str) -> Path:
    for place in range(6):
        ct_slice(folder / f"{place}.dcm", VOXELS[place], z=place, instance=f"1.9.{place}")
    (folder / "1.xml").write_text(f'<LidcReadMessage xmlns="http://www.nih.gov">{readings}</LidcReadMessage>')
    return folder


def session(*slices: int, large: bool = True) -> str:
    rois = "".join(f"<roi><imageSOP_UID>1.9.{one}</imageSOP_UID></roi>" for one in slices)
    traits = "<characteristics/>" if large else ""
    nodule = f"<unblindedReadNodule>{traits}{rois}</unblindedReadNodule>"
    other = "<nonNodule><imageSOP_UID>1.9.0</imageSOP_UID></nonNodule>"
    return f"<readingSession>{nodule}{other}</readingSession>"


@pytest.mark.parametrize(
    ("readings", "sizes"),
    [
        (session(0, 1) * 3, ["nodule >=3 mm", "none"]),
        (session(0, 1) * 2, ["none", "none"]),
        (session(2, 3) * 4, ["none", "none"]),
        (session(4, large=False), ["none", "nodule <3 mm"]),
        (session(3, 4, 5) * 3 + session(5, large=False), ["none", "nodule <3 mm;nodule >=3 mm"]),
        ("", ["none", "none"]),
    ],
)
def test_nodules_that_readers_outline(tmp_path: Path, readings: str, sizes: list[str]) -> None:
    assert [row["sizes"] for row in rows("lidc", series(tmp_path, readings), slices=3, least=2)] == sizes


def test_bad_readings(tmp_path: Path) -> None:
    folder = series(tmp_path, "")
    for content, problem in (("<a", "is not XML"), ('<!DOCTYPE a [<!ENTITY b "c">]><a/>', "declares entities")):
        (folder / "1.xml").write_text(content)
        with pytest.raises(ValueError, match=problem):
            rows("lidc", folder, slices=3)
    (folder / "1.xml").unlink()
    with pytest.raises(ValueError, match="0 XML files of readings in the folder"):
        rows("lidc", folder, slices=3)


# marks of slices


def test_tables_that_mark_slices(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("SOPInstanceUID,pe,x\na,1,0\nb,0,0\nc,1,\n")
    marks = SliceMarks(file="../t.csv", flags=("pe",), least=2)
    folder = tmp_path / "series"
    assert marks_of(folder, ["a", "b"], marks) == {"pe_slices": 1, "pe": False}
    assert marks_of(folder, ["a", "b", "c"], marks) == {"pe_slices": 2, "pe": True}
    with pytest.raises(ValueError, match=r"t\.csv does not know 1 of 2 slices"):
        marks_of(folder, ["a", "z"], marks)
    with pytest.raises(ValueError, match=r"t\.csv, row 3: x is neither 0 nor 1"):
        marks_of(folder, ["a"], SliceMarks(file="../t.csv", flags=("x",)))
    with pytest.raises(ValueError, match=r"t\.csv has no column 'y'"):
        marks_of(folder, ["a"], SliceMarks(file="../t.csv", flags=("y",)))


def test_slices_that_may_show_text_are_refused(tmp_path: Path) -> None:
    folder = series(tmp_path, "")
    burned = (folder / "2.dcm").read_bytes().replace(b"CS\x02\x00CT", b"CS\x02\x00OT")
    (folder / "2.dcm").write_bytes(burned.replace(b"ORIGINAL\\PRIMARY\\AXIAL", b"DERIVED\\SECONDARY\\CUT "))
    found, told = configured("dicom-series", {})
    with pytest.raises(SampleError, match="text may be burned into the pixels"):
        found.read(folder, {}, told)
    found, told = configured("dicom-series", {"burned_in": "allow"})
    assert found.read(folder, {}, told).shape == (6, 3, 4)
