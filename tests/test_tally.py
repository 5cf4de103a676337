"""Sums over groups of rows, against counting the rows one by one."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ropeway import tally
from ropeway.tally import Column

Row = tuple[int, int, int | None, int]
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.none() | st.integers(0, 40), st.integers(0, 1 << 40)),
    min_size=1, max_size=40,
)  # fmt: skip


@pytest.mark.parametrize("table", [1 << 16, 32, 0], ids=["by a table", "by parts of one", "by sorting"])
@given(ROWS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_summed_by_group(table: int, rows: list[Row]) -> None:
    rows.sort(key=lambda row: 99 if row[2] is None else row[2])
    columns = [Column(np.array([row[n] for row in rows], np.uint8), several) for n, several in enumerate((5, 3))]
    members = np.array([row[2] for row in rows if row[2] is not None], np.int32)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(tally, "ROWS", 4)
        small.setattr(tally, "_FEW", table)
        small.setattr(tally, "_TABLE", max(1, table))
        small.setattr(tally, "_WORTH", table)
        found = tally.grouped(columns, len(rows))
        groups = len(found.samples)
        weights = tally.sums(found.number, groups, np.array([row[3] for row in rows]))
        persons = tally.distinct(found.number, groups, members)
    names = list(zip(*(codes.tolist() for codes in found.codes), strict=True))
    assert [names[place] for place in found.number.tolist()] == [row[:2] for row in rows]
    assert names == sorted(names)
    met, total = defaultdict[tuple[int, ...], set[int | None]](set), Counter[tuple[int, ...]]()
    for one, other, person, size in rows:
        total[one, other] += size
        met[one, other] |= {person} - {None}
    assert dict(zip(names, found.samples.tolist(), strict=True)) == Counter(row[:2] for row in rows)
    assert dict(zip(names, weights.tolist(), strict=True)) == total
    assert dict(zip(names, persons.tolist(), strict=True)) == {group: len(several) for group, several in met.items()}


def test_columns_whose_combinations_no_number_holds_are_counted_by() -> None:
    """2³² values in each of three columns: 2⁹⁶ combinations, of which three are there."""
    codes = np.array([7, 1 << 31, 7, 0], np.uint32)
    found = tally.grouped([Column(codes, 1 << 32)] * 3, 4)
    assert [column.tolist() for column in found.codes] == [[0, 7, 1 << 31]] * 3
    assert (found.number.tolist(), found.samples.tolist()) == ([1, 2, 1, 0], [1, 2, 1])


def test_by_no_column_all_rows_are_one_group() -> None:
    found = tally.grouped([], 3)
    assert (found.number.tolist(), found.codes, found.samples.tolist()) == ([0, 0, 0], (), [3])


@given(st.lists(st.integers(0, 1 << 60)))
def test_different_numbers_are_sorted_and_each_there_once(numbers: list[int]) -> None:
    assert tally.different(np.array(numbers, np.int64)).tolist() == sorted(set(numbers))
