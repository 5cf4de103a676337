"""Columns of an index as numbers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway import codes
from ropeway.codes import coded


def told(column: pa.Array) -> list[object]:
    """What the codes of a column stand for, its last row first."""
    found = coded(column, np.arange(len(column), dtype=np.int32)[::-1])
    assert len(found.codes) == len(column)
    return list(found.values.take(pa.array(found.codes)).to_pylist())


@pytest.mark.parametrize(
    ("kind", "bits"), [(pa.int8(), 7), (pa.uint8(), 8), (pa.int32(), 31), (pa.int64(), 63), (pa.uint64(), 64)]
)
@given(data=st.data())
def test_codes_stand_for_what_the_column_holds(kind: pa.DataType, bits: int, data: st.DataObject) -> None:
    least = 0 if pa.types.is_unsigned_integer(kind) else -(1 << bits)
    base = data.draw(st.integers(least, (1 << bits) - 1))
    near = st.integers(max(least, base - 3000), min((1 << bits) - 1, base + 3000))
    numbers = data.draw(st.lists(st.one_of(st.none(), near, st.just(base)), max_size=20))
    assert told(pa.array(numbers, kind)) == numbers[::-1]
    assert told(pa.array(numbers, kind).dictionary_encode()) == numbers[::-1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, None, False, True]),
        pa.array([None, None], pa.int64()),
        pa.array(["b", None, "a", "b"]),
        pa.array([0.5, None, -0.5]),
        pa.array([], pa.string()),
    ],
    ids=lambda column: str(column.type),
)
def test_other_kinds_of_columns_have_codes(column: pa.Array) -> None:
    assert told(column) == column.to_pylist()[::-1]


def test_a_column_of_many_rows_is_coded_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "ROWS", 3)
    numbers = [n % 7 if n % 5 else None for n in range(32)]
    assert told(pa.array(numbers)) == numbers[::-1]
    assert told(pa.array(numbers).slice(1, 20)) == numbers[1:21][::-1]


def test_few_values_take_a_byte_each() -> None:
    ages = coded(pa.array([61, None, 59], pa.int64()), np.arange(3, dtype=np.int32))
    assert ages.values.to_pylist() == [59, 60, 61, None]
    assert ages.codes.dtype == np.uint8
    assert ages.codes.tolist() == [2, 3, 0]
    many = coded(pa.array(range(300)), np.arange(300, dtype=np.int32))
    assert many.codes.dtype == np.uint16
    assert many.codes.tolist() == list(range(300))
