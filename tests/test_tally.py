"""Sums over groups of rows, against counting the rows one by one."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ropeway import tally

ROWS = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 1), st.integers(-1, 6), st.integers(0, 1 << 40)))


@pytest.mark.parametrize("few", [1 << 16, 0], ids=["by a table", "by sorting"])
@given(ROWS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_summed_by_group(few: int, rows: list[tuple[int, ...]]) -> None:
    one, other, member, weight = np.array(rows, np.int64).reshape(-1, 4).T
    columns = [(one.astype(np.int32), 4), (other.astype(np.int32), 2)]
    people = member.astype(np.int32)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(tally, "_ROWS", 4)
        small.setattr(tally, "_FEW", few)
        small.setattr(tally, "_BITS", few)
        number, found = tally.numbered(columns, len(rows))
        counts, weights = tally.sums(number, len(found)), tally.sums(number, len(found), weight)
        persons = tally.distinct(number, len(found), people, 7)
    names = [(place // 3 - 1, place % 3 - 1) for place in found.tolist()]
    assert [names[place] for place in number.tolist()] == [row[:2] for row in rows]
    met, total = defaultdict[tuple[int, ...], set[int]](set), Counter[tuple[int, ...]]()
    for *group, person, size in rows:
        total[tuple(group)] += size
        met[tuple(group)] |= {person} - {-1}
    assert dict(zip(names, counts, strict=True)) == Counter(row[:2] for row in rows)
    assert dict(zip(names, weights, strict=True)) == total
    assert dict(zip(names, persons, strict=True)) == {group: len(several) for group, several in met.items()}


@given(st.lists(st.integers(0, 1 << 60)))
def test_different_numbers_are_sorted_and_each_there_once(numbers: list[int]) -> None:
    assert tally.different(np.array(numbers, np.int64)).tolist() == sorted(set(numbers))
