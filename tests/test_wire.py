"""Pages of columns: msgpack that any language reads, and nothing else gets in."""

import struct
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ropeway import wire
from ropeway.errors import FormatError
from ropeway.samples import Samples, ShardRef

SHARDS = (ShardRef("d", "0" * 12, "d/x.tar", 4096, "0" * 64),)


def samples(rows: int) -> Samples:
    return Samples(
        shards=SHARDS,
        shard=np.zeros(rows, np.int32),
        offset=np.arange(rows) * 1024,
        length=np.full(rows, 1024),
        crc32c=np.arange(rows, dtype=np.uint32) + np.uint32(2**32 - 50),
        keys=pa.array([f"kéy{number}" for number in range(rows)], pa.string()),
        parts={"x": (np.arange(rows), np.arange(rows)), "note": (np.full(rows, -1), np.zeros(rows, np.int64))},
        labels={
            "cls": np.arange(rows, dtype=np.int32),
            "many": np.ones((rows, 3), np.int8),
            "ef": np.full(rows, np.nan),
        },
    )


def same(one: Samples, other: Samples) -> None:
    assert one.shards == other.shards
    for name in ("shard", "offset", "length", "crc32c"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.keys.equals(other.keys)
    assert one.parts.keys() == other.parts.keys()
    assert one.labels.keys() == other.labels.keys()
    for part in one.parts:
        np.testing.assert_array_equal(one.parts[part], other.parts[part])
    for task in one.labels:
        np.testing.assert_array_equal(one.labels[task], other.labels[task])


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_samples_come_back(rows: int) -> None:
    same(wire.unpack_samples(wire.pack_samples(samples(rows)), SHARDS), samples(rows))


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 13), (7, 40), (39, 40), (40, 40)])
def test_a_slice_travels_alone(start: int, stop: int) -> None:
    page = wire.pack_samples(samples(40).slice(start, stop))
    found = wire.unpack_samples(page, SHARDS)
    assert found.keys.to_pylist() == [f"kéy{number}" for number in range(start, stop)]
    assert found.offset.tolist() == [number * 1024 for number in range(start, stop)]
    assert len(page) < 1500 + 130 * (stop - start)


DTYPES = st.sampled_from(["<i4", "<i8", "<u4", "<f4", "<f8", "|i1", "|u1", ">i8", ">f4"])


@given(st.integers(0, 9), st.data())
def test_any_column_comes_back(rows: int, data: st.DataObject) -> None:
    tail = tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
    numbers = data.draw(DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, (rows, *tail))))
    text = data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=rows, max_size=rows))
    found: dict[str, Any] = wire.unpack_columns(
        wire.pack_columns({"n": numbers, "t": pa.array(text, pa.string())}, rows)
    )
    np.testing.assert_array_equal(found["n"], numbers)
    assert found["n"].shape == numbers.shape
    assert found["t"].to_pylist() == text


def test_a_page_is_read_with_nothing_but_msgpack_and_struct() -> None:
    page = msgpack.unpackb(wire.pack_columns({"k": pa.array(["ä", "", "bc"]), "n": np.array([1, -2, 3])}, 3))
    assert page["rows"] == 3
    key, number = page["columns"]["k"], page["columns"]["n"]
    assert (key["dtype"], key["shape"]) == ("utf8", [3])
    ends = struct.unpack("<4i", key["offsets"])
    assert [key["data"][start:stop].decode() for start, stop in pairwise(ends)] == ["ä", "", "bc"]
    assert (number["dtype"], number["shape"]) == ("<i8", [3])
    assert struct.unpack("<3q", number["data"]) == (1, -2, 3)


SIZED = {
    0xC4: ("bytes", ">B"), 0xC5: ("bytes", ">H"), 0xC6: ("bytes", ">I"), 0xD9: ("text", ">B"), 0xDA: ("text", ">H"),
    0xDB: ("text", ">I"), 0xDC: ("list", ">H"), 0xDD: ("list", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}  # fmt: skip


def mini(data: bytes, at: int = 0) -> tuple[Any, int]:
    """A msgpack value and where it ends: all of the format that a page uses, to be written again in any language."""
    head = data[at]
    at += 1
    if head < 0x80:
        return head, at
    for low, high, kind in ((0x80, 0x8F, "map"), (0x90, 0x9F, "list"), (0xA0, 0xBF, "text")):
        if low <= head <= high:
            return content(kind, head - low, data, at)
    if 0xCC <= head <= 0xCF:
        form = ">" + "BHIQ"[head - 0xCC]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    kind, form = SIZED[head]
    (size,) = struct.unpack_from(form, data, at)
    return content(kind, size, data, at + struct.calcsize(form))


def content(kind: str, size: int, data: bytes, at: int) -> tuple[Any, int]:
    if kind in ("bytes", "text"):
        raw = data[at : at + size]
        return raw.decode() if kind == "text" else raw, at + size
    values = []
    for _ in range(2 * size if kind == "map" else size):
        value, at = mini(data, at)
        values.append(value)
    return dict(zip(values[::2], values[1::2], strict=True)) if kind == "map" else values, at


@pytest.mark.parametrize("rows", [0, 3, 40, 20000])
def test_a_page_of_samples_is_read_with_nothing_but_struct(rows: int) -> None:
    data = wire.pack_samples(samples(rows))
    page, end = mini(data)
    assert end == len(data)
    assert page["rows"] == rows
    columns = page["columns"]
    assert list(columns) == [
        "key", "shard", "offset", "length", "crc32c", "x.offset", "x.length", "note.offset", "note.length",
        "task.cls", "task.many", "task.ef",
    ]  # fmt: skip
    ends = struct.unpack(f"<{rows + 1}i", columns["key"]["offsets"])
    keys = [columns["key"]["data"][start:stop].decode() for start, stop in pairwise(ends)]
    assert keys == [f"kéy{number}" for number in range(rows)]
    assert columns["crc32c"]["dtype"] == "<u4"
    crcs = struct.unpack(f"<{rows}I", columns["crc32c"]["data"])
    assert crcs == tuple((number + 2**32 - 50) % 2**32 for number in range(rows))
    assert (columns["offset"]["dtype"], columns["offset"]["shape"]) == ("<i8", [rows])
    assert struct.unpack(f"<{rows}q", columns["offset"]["data"]) == tuple(range(0, 1024 * rows, 1024))
    assert (columns["task.many"]["dtype"], columns["task.many"]["shape"]) == ("|i1", [rows, 3])
    assert columns["task.many"]["data"] == b"\x01" * 3 * rows


def column(**changed: object) -> dict[str, object]:
    return {"dtype": "<i4", "shape": [2], "data": bytes(8)} | changed


def text(**changed: object) -> dict[str, object]:
    return {"dtype": "utf8", "shape": [1], "offsets": struct.pack("<2i", 0, 2), "data": b"ab"} | changed


@pytest.mark.parametrize(
    "page",
    [
        None, 7, [], {}, {"rows": 1, "columns": 3}, {"rows": 2, "columns": {"a": 3}},
        {"columns": {"a": column()}},
        {"rows": 3, "columns": {"a": column()}},
        {"rows": 2, "columns": {"a": column(dtype="|O")}},
        {"rows": 2, "columns": {"a": column(dtype="<U1")}},
        {"rows": 2, "columns": {"a": column(dtype=None)}},
        {"rows": 2, "columns": {"a": column(data=bytes(7))}},
        {"rows": 2, "columns": {"a": column(shape=[3])}},
        {"rows": 2, "columns": {"a": column(shape=[])}},
        {"rows": 2, "columns": {"a": column(shape="no")}},
        {"rows": 2, "columns": {"a": column(shape=[2**63])}},
        {"rows": 1, "columns": {"a": text(shape=[])}},
        {"rows": 1, "columns": {"a": text(shape=[-1])}},
        {"rows": 2, "columns": {"a": text(shape=[2])}},
        {"rows": 1, "columns": {"a": text(offsets=struct.pack("<2i", 0, 3))}},
        {"rows": 1, "columns": {"a": text(offsets=struct.pack("<2i", 2, 0))}},
        {"rows": 1, "columns": {"a": text(offsets=b"")}},
        {"rows": 1, "columns": {"a": text(data=b"\xff\xff")}},
    ],
)  # fmt: skip
def test_what_is_no_page_is_refused(page: object) -> None:
    with pytest.raises(FormatError, match="not a page of columns"):
        wire.unpack_columns(msgpack.packb(page))


@given(st.binary(max_size=200) | st.integers(0, 600).map(lambda cut: wire.pack_samples(samples(3))[:cut]))
def test_noise_and_cut_pages_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        wire.unpack_samples(data, SHARDS)


def test_a_page_without_what_every_sample_has_is_refused() -> None:
    with pytest.raises(FormatError, match="it lacks crc32c, key, length, shard"):
        wire.unpack_samples(wire.pack_columns({"offset": np.zeros(1, np.int64)}, 1), SHARDS)
