"""Keys as texts: the same whether they are kept or made anew each time, and kept only where all of them fit."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway.texts import TEXT, Texts

KEYS = [f"k{number:04d}/ä" for number in range(300)]


@given(st.lists(st.lists(st.integers(0, 299), max_size=40), max_size=6), st.sampled_from([0, 300 * TEXT]))
def test_every_row_has_its_own_key_however_often_it_is_asked_for(asked: list[list[int]], room: int) -> None:
    texts = Texts(pa.array(KEYS), len(KEYS), room)
    for rows in asked:
        assert texts.of(np.array(rows, np.int64)) == [KEYS[row] for row in rows]


@pytest.mark.parametrize(("room", "kept"), [(300 * TEXT, True), (300 * TEXT - 1, False)])
def test_texts_are_kept_where_all_of_them_fit(room: int, kept: bool) -> None:
    texts = Texts(pa.array(KEYS), len(KEYS), room)
    rows = np.array([7, 299])
    first, again = texts.of(rows), texts.of(rows)
    assert first == again == [KEYS[7], KEYS[299]]
    assert all((one is other) == kept for one, other in zip(first, again, strict=True))
