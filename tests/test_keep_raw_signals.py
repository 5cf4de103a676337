"""Original WFDB records: the decoder, and our adapter once they are unzipped, read what the original says."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from adapter_reading import Array, read, values
from originals import findings, original
from raw_signals import challenge, header, leads, matlab_4
from ropeway.decode import DECODERS
from ropeway.decoders.wfdb import stored_integers
from ropeway_shardgen.recipe import configured

NOTES = {
    "Age": "95", "Sex": "Male", "Dx": "426783006,164889003", "Rx": "Unknown", "Hx": "Petra Planted had a stroke",
    "Patient": "Petra Planted", "Planted": "7",
}  # fmt: skip


def decoded(content: bytes) -> Array:
    decode: Any = DECODERS["wfdb"].decode
    array: Array = decode(memoryview(content))
    return array


def files(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_record_is_kept_without_name_date_and_comments(tmp_path: Path) -> None:
    stored = leads(0)
    (tmp_path / "PLANTED77.mat").write_bytes(matlab_4("val", stored) + b"Petra Planted")
    (tmp_path / "PLANTED77.hea").write_text(header("PLANTED77", "PLANTED77.mat", stored, notes=NOTES) + "# Petra\n")
    found = original("wfdb", tmp_path / "PLANTED77.hea")
    inside = files(found.content)
    assert (found.format, list(inside)) == ("wfdb", ["record.hea", "record.mat"])
    assert inside["record.mat"] == matlab_4("val", stored)
    text = inside["record.hea"].decode()
    assert text.splitlines()[0] == "record 12 500 40"
    assert text.splitlines()[13:] == ["#Age: 90", "#Sex: Male", "#Dx: 426783006,164889003", "#Rx: Unknown"]
    np.testing.assert_array_equal(decoded(found.content), (stored / 1000).astype(np.float32))
    np.testing.assert_array_equal(scipy.io.loadmat(io.BytesIO(inside["record.mat"]))["val"], stored)
    assert b"PLANTED" not in found.content.upper()
    with zipfile.ZipFile(io.BytesIO(found.content)) as zipped:
        told = {(one.date_time, one.create_system, one.external_attr >> 16) for one in zipped.infolist()}
    assert told == {((1980, 1, 1, 0, 0, 0), 3, 0o100644)}
    assert findings("wfdb", found.content, "Petra Planted", "PLANTED77") == []
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for path in sorted(tmp_path.iterdir()):
            archive.write(path, path.name)
    places = {finding.partition(",")[0] for finding in findings("wfdb", raw.getvalue(), "Petra", "PLANTED")}
    assert {"PLANTED77.hea", "PLANTED77.mat", "names: listed identifier"} <= places


def test_unzipped_it_is_a_record_with_the_same_leads(tmp_path: Path) -> None:
    stored = leads(1)
    (tmp_path / "a.dat").write_bytes(b"Petra!" + stored[:8].T.astype("<i2").tobytes() + b"Planted")
    (tmp_path / "b.x").write_bytes(stored[8:].T.astype("<i2").tobytes())
    lines = header("p", "a.dat", stored, storage="16+6", gain="200(3)/uV").splitlines()
    lines[9:] = [line.replace("a.dat 16+6", "b.x 16") for line in lines[9:]]
    (tmp_path / "p.hea").write_text("\n".join(lines))
    found = original("wfdb", tmp_path / "p.hea")
    assert sorted(files(found.content)) == ["record.hea", "record_1.dat", "record_2.dat"]
    assert b"Petra" not in found.content
    assert b"Planted" not in found.content
    for name, content in files(found.content).items():
        (tmp_path / name).write_bytes(content)
    mine, theirs = read("wfdb", tmp_path / "record.hea"), read("wfdb", tmp_path / "p.hea")
    np.testing.assert_array_equal(values(mine), stored, strict=True)
    assert (mine.fields, mine.channels, mine.sampling_rate) == (theirs.fields, theirs.channels, theirs.sampling_rate)
    np.testing.assert_array_equal(decoded(found.content), ((stored - 3) / 200).astype(np.float32))


def test_a_matrix_of_version_5_becomes_one_that_wfdb_software_reads(tmp_path: Path) -> None:
    stored = leads(2)
    scipy.io.savemat(tmp_path / "x.mat", {"val": stored, "patient": "Petra Planted"}, do_compression=True)
    (tmp_path / "x.hea").write_text(header("x", "x.mat", stored, storage="16"))
    found = original("wfdb", tmp_path / "x.hea")
    content = files(found.content)["record.mat"]
    assert content == matlab_4("val", stored)
    np.testing.assert_array_equal(stored_integers(content[24:], 16, stored.size).reshape(-1, 12).T, stored)
    np.testing.assert_array_equal(decoded(found.content), (stored / 1000).astype(np.float32))


def test_a_checksum_that_is_ignored_is_put_right(tmp_path: Path) -> None:
    stored = leads(3)
    challenge(tmp_path, "x", stored, "1", "60", "F")
    text = (tmp_path / "x.hea").read_text()
    first = text.splitlines()[1].split()
    wrong = " ".join([*first[:6], str(int(first[6]) + 1), *first[7:]])
    (tmp_path / "x.hea").write_text(text.replace(" ".join(first), wrong))
    with pytest.raises(ValueError, match=r"lead I: the checksum differs from the header's: x.mat is damaged"):
        original("wfdb", tmp_path / "x.hea")
    found = original("wfdb", tmp_path / "x.hea", {"checksums": "ignore"})
    np.testing.assert_array_equal(decoded(found.content), (stored / 1000).astype(np.float32))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "x.mat").write_bytes((folder / "x.mat").read_bytes()[:-1]), "x.mat is cut short"),
        (lambda folder: (folder / "x.mat").unlink(), "names x.mat, which is not there"),
        (lambda folder: (folder / "x.hea").write_text("x 12 500"), "lacks the number of signals"),
        (lambda folder: edit(folder / "x.hea", " 16 0 ", " Petra 0 "), "words where a signal line .* has numbers"),
        (lambda folder: edit(folder / "x.hea", " 40 ", " 4000000000 "), "x.mat is cut short"),
    ],
)
def test_bad_records_are_refused(tmp_path: Path, change: Any, problem: str) -> None:
    challenge(tmp_path, "x", leads(4), "1", "60", "F")
    change(tmp_path)
    with pytest.raises(ValueError, match=problem) as caught:
        original("wfdb", tmp_path / "x.hea")
    assert "Petra" not in str(caught.value)


def edit(path: Path, before: str, after: str) -> None:
    path.write_text(path.read_text().replace(before, after, 1))


def annotations(*texts: str) -> bytes:
    """A beat and a text after each other, 300 samples apart, the last after a long time."""
    content = b""
    for text in texts:
        told = text.encode("latin1")
        content += struct.pack("<HH", 28 << 10 | 300, 63 << 10 | len(told)) + told + bytes(len(told) % 2)
    return content + struct.pack("<3H", 59 << 10, 1, 5) + struct.pack("<2H", 1 << 10 | 7, 0)


CODES = ["(AFIB\0", "(N", "## time resolution: 360", "W   LA", "(ST0+", "AST0+100", "MISSB", "4"]


def test_annotations_are_kept_without_what_a_person_typed(tmp_path: Path) -> None:
    stored = leads(0)
    (tmp_path / "x.mat").write_bytes(matlab_4("val", stored))
    (tmp_path / "x.hea").write_text(header("x", "x.mat", stored, notes=NOTES))
    typed = ["Petra Planted", "(Petra", "## annotation type definitions", "41 P Planted", "1950-02-03", "W Petra"]
    (tmp_path / "x.atr").write_bytes(annotations(*typed, *CODES))
    (tmp_path / "x.qrs").write_bytes(annotations("Petra Planted"))
    (tmp_path / "x.doc").write_bytes(b"Petra Planted")
    found = original("wfdb", tmp_path / "x.hea")
    inside = files(found.content)
    assert list(inside) == ["record.atr", "record.hea", "record.mat", "record.qrs"]
    beats = [28 << 10 | 300] * len(typed)
    assert inside["record.atr"] == struct.pack(f"<{len(beats)}H", *beats) + annotations("(AFIB", *CODES[1:])
    assert inside["record.qrs"] == struct.pack("<H", beats[0]) + annotations()
    np.testing.assert_array_equal(decoded(found.content), (stored / 1000).astype(np.float32))
    assert findings("wfdb", found.content, "Petra Planted", "Petra", "Planted") == []
    assert findings("atr", (tmp_path / "x.atr").read_bytes(), "Petra Planted") == [
        "annotation: listed identifier", "annotation: date",
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"", annotations("(N")[:-1], annotations("(N")[:7], annotations() + b"Petra"])
def test_damaged_annotations_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_bytes(matlab_4("val", leads(0)))
    (tmp_path / "x.hea").write_text(header("x", "x.mat", leads(0)))
    (tmp_path / "x.atr").write_bytes(content)
    with pytest.raises(ValueError, match=r"WFDB annotations cut short|something behind their end"):
        original("wfdb", tmp_path / "x.hea")
    assert findings("atr", content, "Petra Planted") == ["content: not readable"]


def test_annotations_count_among_the_raw_files_where_they_are_kept(tmp_path: Path) -> None:
    adapter, options = configured("raw", {"adapter": "wfdb", "key": "", "parts": [{}]})
    (tmp_path / "x.hea").write_text(header("x", "x.mat", leads(0)))
    (tmp_path / "x.atr").write_bytes(annotations())
    assert [path.name for path in adapter.companions(tmp_path / "x.hea", options)] == ["x.mat", "x.atr"]
