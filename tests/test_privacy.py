"""What names a person is found in a store, wherever it hides; what is found is never shown; what is clean is clean."""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import nibabel
import numpy as np
import pydicom
import pyedflib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

import contents
import tiny_store
from ropeway.cli import make_app
from ropeway.errors import UsageError
from ropeway.privacy import MOST, PrivacyReport, lint
from ropeway.privacy_rules import PLANTED, Identifiers, masked, shapes
from ropeway.stores import open_store

NAME = "Bönnemann^Quirin"
KINDS: Any = nibabel
LISTED = Identifiers(["Quirin Bönnemann", "QX-0047711"])


def check(path: Path, form: str, content: bytes, listed: Identifiers = LISTED, **more: Any) -> PrivacyReport:
    sample = tiny_store.Sample(key="a", parts={"x": (form, content)}, subject="s0", **more)
    store = open_store(path)
    return lint(store, tiny_store.build(store, content=[sample], tasks=()), listed)


def picture(form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(contents.smooth(20, 20)).save(file, form, **options)
    return file.getvalue()


def exif(**tags: str) -> Image.Exif:
    found = Image.Exif()
    for name, value in tags.items():
        found[{"artist": 0x013B, "description": 0x010E, "time": 0x0132}[name]] = value
    return found


def png_info(packed: bool, international: bool = False) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if international:
        info.add_itxt("Comment", NAME, zip=packed)
    else:
        info.add_text("Comment", "QX0047711", zip=packed)
    return info


def gps() -> bytes:
    tags = Image.Exif()
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0)})
    return picture("JPEG", exif=tags)


def nifti(**header: str) -> bytes:
    image = KINDS.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    for name, value in header.items():
        image.header[name] = value
    return bytes(image.to_bytes())


def extended() -> bytes:
    image = KINDS.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"scan of QX0047711"))
    return bytes(image.to_bytes())


def edf(at: int, text: bytes) -> bytes:
    content = bytearray(contents.edf(contents.numbers(2, 200), kind=pyedflib.FILETYPE_EDF))
    content[8:88] = b"X X X X".ljust(80)
    content[88:168] = b"Startdate X X X X".ljust(80)
    content[168:176] = b"01.01.85"
    content[at : at + len(text)] = text
    return bytes(content)


def dcm(change: Callable[[pydicom.Dataset], object]) -> bytes:
    """An object without identity, and then one change."""
    plain = pydicom.Dataset()
    plain.SOPClassUID, plain.SOPInstanceUID = pydicom.uid.CTImageStorage, "2.25.1234567890123456789012345"
    plain.file_meta = pydicom.dataset.FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    plain.Modality, plain.PatientID, plain.PatientAge = "CT", "0f3a0f3a0f3a0f3a", "090Y"
    plain.Rows = plain.Columns = 2
    plain.BitsAllocated = 16
    plain.PixelData = bytes(8)
    change(plain)
    file = io.BytesIO()
    plain.save_as(file, enforce_file_format=True)
    return file.getvalue()


def nested(dataset: pydicom.Dataset) -> None:
    inner = pydicom.Dataset()
    inner.PersonName = "A^B"
    dataset.ReferencedImageSequence = [inner]


def video(form: str) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=contents.CODECS[form][0]) as writer:
        writer.metadata["title"] = "QX0047711"
        stream: Any = writer.add_stream("mpeg4", rate=5)
        stream.height = stream.width = 32
        stream.pix_fmt = "yuv420p"
        writer.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        writer.mux(stream.encode())
    return file.getvalue()


HIDDEN: list[tuple[str, bytes, str]] = [
    ("txt", f"seen by {NAME}".encode(), PLANTED),
    ("txt", "Herr Quirin BÖNNEMANN war da".encode("latin-1"), PLANTED),
    ("txt", "Quirin Bönnemann".encode("utf-16"), PLANTED),
    ("txt", b"born on 3.4.1961", "date of birth"),
    ("json", json.dumps({"a": [{"b": "id QX 0047711"}]}).encode(), PLANTED),
    ("json", json.dumps({"patient_name": "whoever"}).encode(), "labelled field"),
    ("msgpack", msgpack.packb({"a": b"mail me: x.y@example.org"}), "mail address"),
    ("npy", contents.npy(np.array(["ok", "QX-0047711"])), PLANTED),
    ("jpg", picture("JPEG", comment=b"QX-0047711"), PLANTED),
    ("jpg", picture("JPEG", exif=exif(artist="quirin bonnemann")), PLANTED),
    ("jpg", picture("JPEG", exif=exif(time="2011:02:03 10:11:12")), "date"),
    ("jpg", gps(), "place on earth"),
    ("jpg", picture("JPEG") + b"QX-0047711", PLANTED),
    ("jpg", picture("JPEG")[:-2], "not readable"),
    ("png", picture("PNG", pnginfo=png_info(packed=False)), PLANTED),
    ("png", picture("PNG", pnginfo=png_info(packed=True)), PLANTED),
    ("png", picture("PNG", pnginfo=png_info(packed=True, international=True)), PLANTED),
    ("png", picture("PNG", exif=exif(description="MRN: 889912")), "record number"),
    ("tif", picture("TIFF", description="tel +1 (617) 555 0199"), "telephone number"),
    ("webp", picture("WEBP", exif=exif(artist="QX0047711")), PLANTED),
    ("nii", nifti(descrip="QX0047711"), PLANTED),
    ("nii", nifti(aux_file="scan20110203"), ""),
    ("nii", nifti(db_name="2011-02-03"), "date"),
    ("nii", extended(), PLANTED),
    ("nii.gz", gzip.compress(nifti(intent_name="QX0047711"), mtime=0), PLANTED),
    ("edf", edf(8, b"MCH-0234567 F 02-MAY-1951 Haagse_Harry"), "person's name"),
    ("edf", edf(168, b"02.05.99"), "date"),
    ("edf", edf(88, b"by QX 0047711"), PLANTED),
    ("mp4", video("mp4"), PLANTED),
    ("avi", video("avi"), PLANTED),
    ("bin", b"\x00\x01" + "QX0047711".encode("utf-16-le") + b"\xff", PLANTED),
    ("bin", b"\x00\x01" + NAME.encode("latin-1") + b"\x00", PLANTED),
    ("dcm", dcm(lambda d: setattr(d, "PatientName", NAME.replace("ö", "o"))), "person's name"),
    ("dcm", dcm(lambda d: setattr(d, "StudyDate", "19990101")), "date"),
    ("dcm", dcm(lambda d: setattr(d, "PatientBirthDate", "19990101")), "date of birth"),
    ("dcm", dcm(lambda d: setattr(d, "SeriesInstanceUID", "1.3.6.1.4.1.9590.100.1.2")), "unique id"),
    ("dcm", dcm(lambda d: setattr(d, "StudyDescription", "ask QX0047711")), PLANTED),
    ("dcm", dcm(lambda d: d.add_new(0x00090010, "LO", "ACME")), "private element"),
    ("dcm", dcm(lambda d: d.add_new(0x60003000, "OW", b"\0\0")), "overlay"),
    ("dcm", dcm(lambda d: setattr(d, "PatientAge", "093Y")), "age over 90"),
    ("dcm", dcm(lambda d: setattr(d, "BurnedInAnnotation", "YES")), "burned-in text"),
    ("dcm", dcm(nested), "person's name"),
    ("dcm", b"no DICOM", "not readable"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "content", "rule"), HIDDEN, ids=[f"{n}-{h[0]}-{h[2]}" for n, h in enumerate(HIDDEN)])
def test_what_hides_in_a_part_is_found(tmp_path: Path, form: str, content: bytes, rule: str) -> None:
    report = check(tmp_path, form, content)
    assert (set(report.counts) >= {rule}) if rule else not report.counts, report
    for finding in report.findings:
        assert finding.dataset == "tiny"
        assert finding.key == "a"
        assert finding.where.startswith(f"x.{form}, ")
        said = str(finding).lower()
        assert not any(word in said for word in ("quirin", "nnemann", "0047711", "1999", "haagse", "889912", "0199"))


@pytest.mark.parametrize("form", sorted(contents.SMALL))
def test_ordinary_content_is_clean(tmp_path: Path, form: str) -> None:
    content = edf(8, b"") if form == "edf" else dcm(lambda d: None) if form == "dcm" else contents.SMALL[form]()
    report = check(tmp_path, form, content)
    if form == "bdf":  # pyedflib writes the day on which the test runs
        assert set(report.counts) <= {"date", "person's name"}
    else:
        assert not report.counts, report.findings


def test_keys_columns_and_manifest_are_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    given = [
        tiny_store.Sample(key="QX-0047711/1", parts={"x": ("txt", b"of 2001-02-03")}, subject="s0"),
        tiny_store.Sample(key="b", parts={"x": ("txt", b"ok")}, subject="Quirin-Bonnemann", meta={"age": 93}),
        tiny_store.Sample(key="c", parts={"x": ("txt", b"ok")}, subject="s1", meta={"sex": "1.2.826.0.1.3680043.8"}),
        tiny_store.Sample(key="d", parts={"x": ("txt", b"ok")}, subject="s1", meta={"age": 90, "weight": 47711.0}),
    ]
    report = lint(store, tiny_store.build(store, content=given, tasks=()), LISTED)
    assert [(f.key, f.where, f.rule, f.shown) for f in report.findings] == [
        ("xx-9999999/9", "key", PLANTED, "xx 9999999"),
        ("b", "subject", PLANTED, "xxxxxx xxxxxxxxx"),
        ("b", "meta.age", "age over 90", "99"),
        ("c", "meta.sex", "unique id", "9.9.999.9.9.9999999.9"),
        ("xx-9999999/9", "x.txt, text", "date", "9999-99-99"),
    ]
    assert all(finding.shard == f"{tiny_store.VERSION}/train-000000.tar" for finding in report.findings)
    other = tiny_store.build(store, "quirin-bonnemann", content=given[3:], tasks=())
    assert [finding.where for finding in lint(store, other, LISTED).findings][:1] == ["manifest"]


def test_what_many_samples_have_in_a_column_is_read_too(tmp_path: Path) -> None:
    given = [
        tiny_store.Sample(key=f"k{n:02}", parts={"x": ("txt", b"ok")}, subject=f"s{n}", meta={"sex": "on 2001-02-03"})
        for n in range(40)  # so many of one value that the index in memory has it once
    ]
    report = lint(open_store(tmp_path), tiny_store.build(open_store(tmp_path), content=given, tasks=()), LISTED)
    assert [(f.key, f.where, f.rule) for f in report.findings] == [("k00", "meta.sex", "date")]


def test_many_findings_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    report = check(tmp_path, "txt", b"on 2001-02-03 \n" * 500)
    assert report.counts == {"date": 500}
    assert len(report.findings) == MOST


INNOCENT = [
    "1.2.840.10008.5.1.4.1.1.2", "2.25.123456789012345678901234567890", "version 1.2.3.4.5", "2134-05-06", "p10000032",
    "0123456789abcdef", "0.123456789", "-12.5 99.125 1e-10", "age 63, sex F, 120/80", "normal sinus rhythm", "v1/v2",
    "QX-00477110", "Bonneman Quirinus", "___ presented on ___", "12x1000 int16", "T1^2", "ISO_IR 100",
]  # fmt: skip


@pytest.mark.parametrize("text", INNOCENT)
def test_ordinary_text_is_clean(text: str) -> None:
    assert [*shapes(text), *LISTED.found(text)] == []


TELLING = [
    ("1.3.12.2.1107.5.2.32.35162", "unique id"), ("a.b+c@mail.example.com", "mail address"),
    ("078-05-1120", "social security number"), ("(617) 555-0199", "telephone number"),
    ("617-555-0199", "telephone number"), ("+49 30 1234 5678", "telephone number"), ("19991231", "date"),
    ("31.12.1999", "date"), ("19991231235959", "date"), ("1999/12/31", "date"),
    ("12th March 2004", "date"), ("Mar 12, 2004", "date"),
    ("DOB: 12 Mar 2004", "date of birth"), ("MRN 0012345", "record number"), ("Doe^John", "person's name"),
    ("Patient name: Doe", "person's name"), ("Dr. Who", "person's name"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule"), TELLING)
def test_shapes_are_known_inside_other_text(text: str, rule: str) -> None:
    assert rule in [hit.rule for hit in shapes(f"word {text}, more")]


class TestIdentifiers:
    """Names and ids from a list."""

    @pytest.mark.parametrize(
        ("listed", "text"),
        [("10000032", "files/p10/p10000032/s5.dcm"), ("Doe, John", "JOHN^DOE"), ("Doe, John", "x/johndoe_2"),
         ("Müller Ute", "ute MULLER"), ("李伟", "患者李伟的检查"), ("山田太郎", "氏名:山田太郎様"),
         ("김철수", "(김철수)"), ("1.2.3.4567", "study 1.2.3.4567.dcm"), ("ＡＢＣＤ", "abcd")],
    )  # fmt: skip
    def test_are_found_however_they_are_written(self, listed: str, text: str) -> None:
        assert [hit.rule for hit in Identifiers([listed]).found(text)] == [PLANTED]

    @given(st.lists(st.text("abcxyzäß019 -^", min_size=5).filter(lambda t: sum(map(str.isalnum, t)) > 4), min_size=1))
    def test_whatever_is_listed_is_found_in_itself(self, listed: list[str]) -> None:
        identifiers = Identifiers(listed)
        for identifier in listed:
            assert list(identifiers.found(f"<{identifier.upper()}>"))

    @pytest.mark.parametrize(
        ("content", "says"),
        [(None, "cannot read the identifiers"), (b"\n \n", "there is no identifier in"),
         (b"John Doe\nLi\n", "line 2 of .* is too short"), (b"...\n", "line 1 of .* is too short")],
    )  # fmt: skip
    def test_a_file_that_cannot_be_used_is_told(self, tmp_path: Path, content: bytes | None, says: str) -> None:
        file = tmp_path / "names"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(UsageError, match=says) as caught:
            Identifiers.read(file)
        assert "John" not in str(caught.value)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_a_file_may_be_in_any_usual_encoding(self, tmp_path: Path, encoding: str) -> None:
        file = tmp_path / "names"
        file.write_bytes("Jörg Weiß\n".encode(encoding))
        assert list(Identifiers.read(file).found("WEISS^JORG"))


@given(st.text())
def test_a_mask_shows_no_letter_and_no_digit(words: str) -> None:
    assert not any(c.isalnum() and c not in "x9" for c in masked(words))


@given(st.binary(max_size=600), st.sampled_from(sorted(contents.SMALL)))
def test_no_content_breaks_the_reading(content: bytes, form: str) -> None:
    from ropeway.privacy_texts import texts

    list(texts(form, memoryview(content)))
    whole = contents.SMALL[form]()
    list(texts(form, memoryview(whole[: len(content) * 3] + content)))


def test_a_compressed_text_chunk_stays_within_bounds(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(1 << 26))
    chunk = b"zTXt" + b"Comment\0\0" + bomb
    head, tail = picture("PNG")[:33], picture("PNG")[33:]
    content = head + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + tail
    assert not check(tmp_path, "png", content).counts


def test_the_tags_of_a_slide_of_any_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(file, "tiff", description="QX-0047711")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # PIL refuses twice as many
    report = check(tmp_path, "slide.tif", file.getvalue())
    assert set(report.counts) == {PLANTED}
    assert Image.MAX_IMAGE_PIXELS == 100


def test_the_command_tells_and_fails(tmp_path: Path) -> None:
    check(tmp_path / "store", "txt", b"QX-0047711 came")
    (tmp_path / "names").write_text("QX-0047711\n")
    ask = ["verify", "--privacy", "--store", str(tmp_path / "store")]
    run = CliRunner().invoke
    assert run(make_app(), ask).exit_code == 0
    found = run(make_app(), [*ask, "--identifiers", str(tmp_path / "names")])
    assert found.exit_code == 1
    assert "listed identifier in x.txt, text: xx 9999999" in found.output
    assert "0047711" not in found.output
    told = run(make_app(), [*ask, "--identifiers", str(tmp_path / "names"), "--json"])
    assert json.loads(told.stdout)[0]["counts"] == {PLANTED: 1}
    with pytest.raises(UsageError, match="give both"):
        run(make_app(), ["verify", "--identifiers", "x", "--store", str(tmp_path)], catch_exceptions=False)
