"""Columns of an index as numbers."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway import indexed
from ropeway.indexed import Codes


def told(codes: Codes) -> list[object]:
    """What the codes stand for."""
    return [None if code < 0 else codes.values[code].as_py() for code in codes.codes.tolist()]


@pytest.mark.parametrize(
    ("kind", "bits"), [(pa.int8(), 7), (pa.uint8(), 8), (pa.int32(), 31), (pa.int64(), 63), (pa.uint64(), 64)]
)
@given(data=st.data())
def test_codes_stand_for_what_the_column_holds(kind: pa.DataType, bits: int, data: st.DataObject) -> None:
    least = 0 if pa.types.is_unsigned_integer(kind) else -(1 << bits)
    base = data.draw(st.integers(least, (1 << bits) - 1))
    near = st.integers(max(least, base - 3000), min((1 << bits) - 1, base + 3000))
    numbers = data.draw(st.lists(st.one_of(st.none(), near, st.just(base)), max_size=20))
    column = pa.array(numbers, kind)
    found = indexed._near(column) or indexed._coded(column)
    assert told(found) == numbers
    assert told(indexed._coded(column)) == numbers


def test_ages_are_coded_without_a_table() -> None:
    assert indexed._near(pa.array([None, None], pa.int64())) is None
    ages = indexed._near(pa.array([61, None, 59], pa.int16()))
    assert ages is not None
    assert ages.codes.tolist() == [2, -1, 0]
    assert ages.values.to_pylist() == [59, 60, 61]
