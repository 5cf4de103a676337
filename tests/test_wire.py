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
