"""Shards are plain tars: for us, for Python, for GNU tar and for the webdataset library."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import group_by_keys, tar_file_expander

from ropeway import tar
from ropeway.errors import FormatError
from ropeway.keys import escape_key, unescape_key

Parts = list[tuple[str, str, bytes]]

FIXED: list[tuple[str, Parts]] = [
    ("p01/visit-1", [("ecg", "npy", bytes(range(200))), ("report", "txt", b"sinus rhythm\n")]),
    ("p01/visit-2", [("ecg", "npy", b"")]),
    (escape_key("1.2.840/Ünï çødé"), [("cxr", "nii.gz", bytes(512)), ("note", "json", b"{}")]),
    ("long/" + "x" * 90, [("part", "npy", bytes(513))]),
    ("longer/" + "y" * 290, [("part", "npy", b"1")]),
]
GOLDEN = "6da055fdf1fa31e5d8cd0a71933d2b2c606f8995745de8ef05d8ebdb8a241219"

KEY = st.lists(
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=120),
    min_size=1,
    max_size=3,
).map(lambda segments: escape_key("/".join(segments)))
PART = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True).filter(lambda part: part not in ("task", "meta"))
FORM = st.sampled_from(["npy", "jpg", "nii.gz", "JSON", "7z"])
SAMPLES = st.dictionaries(
    KEY, st.dictionaries(PART, st.tuples(FORM, st.binary(max_size=1100)), min_size=1, max_size=3), max_size=4
).map(lambda drawn: [(key, [(part, *rest) for part, rest in parts.items()]) for key, parts in drawn.items()])


def archive(samples: list[tuple[str, Parts]]) -> tuple[bytes, list[tar.SampleSpan]]:
    pieces, spans, at = [], [], 0
    for key, parts in samples:
        blocks, span = tar.encode_sample(key, parts, at)
        pieces.append(blocks)
        spans.append(span)
        at += len(blocks)
    return b"".join(pieces) + tar.END, spans


def names(samples: list[tuple[str, Parts]]) -> list[str]:
    return [f"{key}.{part}.{form}" for key, parts in samples for part, form, _ in parts]


@given(SAMPLES)
def test_spans_point_at_the_bytes(samples: list[tuple[str, Parts]]) -> None:
    content, spans = archive(samples)
    end = 0
    for (key, parts), where in zip(samples, spans, strict=True):
        assert where.span.offset == end
        assert where.span.offset % tar.BLOCK == where.span.length % tar.BLOCK == 0
        end += where.span.length
        assert list(where.parts) == [part for part, _, _ in parts]
        for part, form, data in parts:
            offset, length = where.parts[part]
            assert content[offset : offset + length] == data
            span = content[where.span.offset : end]
            assert tar.part_format(memoryview(span), part) == form
        fragment = io.BytesIO(content[where.span.offset : end] + tar.END)
        assert [member.name for member in tar.members(fragment)] == names([(key, parts)])
    assert content[end:] == tar.END


@given(SAMPLES)
def test_python_and_we_list_the_same_members(samples: list[tuple[str, Parts]]) -> None:
    content, _ = archive(samples)
    ours = list(tar.members(io.BytesIO(content)))
    assert [member.name for member in ours] == names(samples)
    with tarfile.open(fileobj=io.BytesIO(content)) as theirs:
        assert [(info.name, info.offset_data, info.size) for info in theirs] == [tuple(member) for member in ours]
        for info, member in zip(theirs, ours, strict=True):
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)
            file: Any = theirs.extractfile(info)
            assert file.read() == content[member.offset : member.offset + member.length]


def test_gnu_tar_lists_and_extracts_the_same(tmp_path: Path) -> None:
    (tmp_path / "fixed.tar").write_bytes(archive(FIXED)[0])
    listed = subprocess.run(["tar", "tf", "fixed.tar"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == names(FIXED)
    assert listed.stderr == ""
    few = [sample for sample in FIXED if len(sample[0]) < 250]  # longer names fit no file system
    (tmp_path / "few.tar").write_bytes(archive(few)[0])
    subprocess.run(["tar", "xf", "few.tar"], cwd=tmp_path, check=True)
    for key, parts in few:
        for part, form, data in parts:
            assert (tmp_path / f"{key}.{part}.{form}").read_bytes() == data


def test_the_webdataset_library_reads_the_same_samples() -> None:
    samples = [*FIXED, (escape_key("__skipped__/by.stock"), [("a", "txt", b"x")])]
    shard = {"url": "fixed.tar", "stream": io.BytesIO(archive(samples)[0])}
    read = list(group_by_keys(tar_file_expander([shard])))
    assert [sample["__key__"] for sample in read] == [key for key, _ in samples]
    for sample, (_, parts) in zip(read, samples, strict=True):
        assert {name: sample[name] for name in sample if not name.startswith("__")} == {
            f"{part}.{form}".lower(): data for part, form, data in parts
        }


@pytest.mark.filterwarnings("ignore:unclosed file .*studies:ResourceWarning")  # webdataset leaves it to be collected
def test_dicom_studies_stay_apart_in_a_stock_reader(tmp_path: Path) -> None:
    """Their UIDs differ after the first dot only, where a stock reader ends the key."""
    uids = ["1.2.840.113619.2.1", "1.2.840.113619.2.2", "研究/1.2"]
    samples: list[tuple[str, Parts]] = [(escape_key(uid), [("cxr", "dcm", uid.encode())]) for uid in uids]
    (tmp_path / "studies.tar").write_bytes(archive(samples)[0])
    read = list(webdataset.WebDataset(str(tmp_path / "studies.tar"), shardshuffle=False))
    assert [unescape_key(sample["__key__"]) for sample in read] == uids
    assert [sample["cxr.dcm"].decode() for sample in read] == uids


def test_equal_samples_are_equal_bytes() -> None:
    """Golden: whoever changes these bytes changes what a repeated pack of published data gives."""
    content, _ = archive(FIXED)
    assert hashlib.sha256(content).hexdigest() == GOLDEN


@given(st.text("ab/_-.0", min_size=1, max_size=130), st.integers(0, 1 << 36))
def test_every_header_is_what_the_standard_library_writes(name: str, size: int) -> None:
    """Names past 100 bytes and sizes past 8 GiB too, which take a pax header."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert tar._header(name, size) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def test_a_header_in_its_literal_bytes() -> None:
    blocks, where = tar.encode_sample("k", [("a", "txt", b"hello")], 1024)
    assert len(blocks) == 1024
    assert blocks[:100] == b"k.a.txt".ljust(100, b"\x00")
    numbers = (
        "0000644",
        "0000000",
        "0000000",
        "00000000005",
        "00000000000",
        "007152",
    )  # mode uid gid size mtime checksum
    assert blocks[100:156] == "".join(f"{number}\x00" for number in numbers).encode() + b" "
    assert blocks[156:265] == b"0".ljust(101, b"\x00") + b"ustar\x0000"
    assert blocks[265:345] == bytes(80)
    assert blocks[345:512] == bytes(167)
    assert blocks[512:] == b"hello".ljust(512, b"\x00")
    assert where == tar.SampleSpan(tar.Span(1024, 1024), {"a": tar.Span(1536, 5)})


@pytest.mark.parametrize("cut", range(0, len(archive(FIXED)[0]), tar.BLOCK))
def test_a_cut_at_any_block_is_found(cut: int) -> None:
    with pytest.raises(FormatError, match=r"cut short|not a readable tar"):
        list(tar.members(io.BytesIO(archive(FIXED)[0][:cut])))


@given(st.data())
def test_damage_is_a_format_error_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(archive(FIXED)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    try:
        found = list(tar.members(io.BytesIO(content)))
    except FormatError:
        return
    assert all(0 <= member.offset <= member.offset + member.length <= len(content) for member in found)


@given(st.binary(max_size=3000))
def test_no_tar_is_a_format_error(content: bytes) -> None:
    with pytest.raises(FormatError):
        list(tar.members(io.BytesIO(b"no tar" + content)))


def test_an_archive_without_members_is_whole() -> None:
    assert list(tar.members(io.BytesIO(tar.END))) == []
    assert list(tar.members(io.BytesIO(bytes(10240)))) == []


def test_folders_and_links_in_an_adopted_archive_are_no_members() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("a.x.txt", tarfile.REGTYPE), ("b.x.txt", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.x.txt" if kind == tarfile.SYMTYPE else ""
            archive.addfile(info)
    assert [member.name for member in tar.members(file)] == ["a.x.txt"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("7.jpg", ("7", "jpg", "jpg")),
        ("p/7.seg.nii.gz", ("p/7", "seg", "nii.gz")),
        ("p.1/7.seg.npy", ("p.1/7", "seg", "npy")),
        ("a.b.c.d", ("a", "b", "c.d")),
    ],
)
def test_names_are_split_at_the_first_dot_of_the_last_segment(name: str, split: tuple[str, str, str]) -> None:
    assert tar.split_name(name) == split


@given(KEY, PART, FORM)
def test_a_member_name_comes_apart_again(key: str, part: str, form: str) -> None:
    assert tar.split_name(tar.member_name(key, part, form)) == (key, part, form)


@pytest.mark.parametrize("name", ["", "a", "a/b", ".a", "a/.b", "a.", "p.1/b"])
def test_a_name_without_its_pieces_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match=r"without key\.part\.format"):
        tar.split_name(name)


@pytest.mark.parametrize(
    ("key", "parts", "says"),
    [
        ("a.b", [("x", "npy", b"")], "not a sample key"),
        ("a", [("X", "npy", b"")], "not a part name"),
        ("a", [("meta", "npy", b"")], "may not be named 'meta'"),
        ("a", [("x", "", b"")], "not a format"),
        ("a", [("x", "n/y", b"")], "not a format"),
        ("a", [("x", "npy.", b"")], "not a format"),
        ("a", [("x", "npy", b""), ("x", "txt", b"")], "'x' twice"),
        ("a", [], "without parts"),
    ],
)
def test_what_cannot_be_written_is_named(key: str, parts: Parts, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        tar.encode_sample(key, parts, 0)


def test_a_part_that_is_not_there_is_named() -> None:
    blocks, _ = tar.encode_sample("k", [("a", "txt", b"hello")], 0)
    with pytest.raises(FormatError, match="no part 'b'"):
        tar.part_format(memoryview(blocks), "b")


def test_a_size_that_leads_backwards_is_found() -> None:
    """Python's own reader goes round for ever on these."""
    content = bytearray(archive(FIXED)[0])
    at = archive(FIXED)[1][1].span.offset
    content[at + 124 : at + 136] = b"\xff" * 10 + b"\xf8\x00"  # base 256, two's complement: -2048
    header = content[at : at + 512]
    content[at + 148 : at + 156] = b"%06o\x00 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    with pytest.raises(FormatError, match="damaged header"):
        list(tar.members(io.BytesIO(content)))
