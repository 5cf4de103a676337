"""Filters as the audit tells them: what was asked by, and no value of anybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway.errors import QueryError
from ropeway.filters import parse
from ropeway_server.outlines import outline


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("age >= 60 and sex = 'F'", "age >= ? AND sex = ?"),
        ("subject = 'John Smith' or key in ('a', 'b')", "subject = ? OR key IN (?, ?)"),
        ("not (age between -5 and 1e3)", "NOT (age BETWEEN -? AND ?)"),
        ("has('cxr') and smoker is null and name like '%Smith%'", "HAS(?) AND smoker IS NULL AND name LIKE ?"),
        ("smoker = true", "smoker = TRUE"),
        ("age > 1 /* John */ and -- Smith\n sex = 'F'", "age > ? AND sex = ?"),
    ],
)
def test_values_are_left_out(where: str, told: str) -> None:
    assert outline(where) == told


@given(
    st.text(alphabet=st.characters(codec="utf-8"), min_size=3).filter(lambda text: text.strip("? ")), st.integers(100)
)
def test_no_value_is_told(text: str, number: int) -> None:
    quoted = text.replace("'", "''")
    assert outline(f"name = '{quoted}' and age < {number}") == "name = ? AND age < ?"


def test_what_is_no_filter_is_refused() -> None:
    with pytest.raises(QueryError):
        outline("age >")
    assert parse("age > 1") is not None
