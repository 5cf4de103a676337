"""The order in which samples are counted."""

import numpy as np
import pyarrow as pa
import pytest

from ropeway.by_subject import by_subject

SUBJECTS = ["b", None, "a", "b", "c", None, "a", "b"]
LENGTHS = [5, 300, 1, 2, 3, 70_000, 4, 6]


@pytest.fixture(params=["texts", "numbers of texts"])
def rows(request: pytest.FixtureRequest) -> pa.Table:
    subjects = pa.array(SUBJECTS)
    if request.param != "texts":
        subjects = subjects.dictionary_encode()
    return pa.table({"subject": subjects, "length": LENGTHS})


def test_the_samples_of_a_subject_come_together_and_those_of_nobody_last(rows: pa.Table) -> None:
    order = by_subject(rows)
    assert order.rows(None).tolist() == [0, 3, 7, 2, 6, 4, 1, 5]
    assert order.names.take(pa.array(order.subjects)).to_pylist() == ["b", "b", "b", "a", "a", "c"]
    assert order.lengths.tolist() == [LENGTHS[row] for row in order.rows(None)]
    assert order.lengths.dtype == np.uint32


def test_some_rows_have_places_in_that_order(rows: pa.Table) -> None:
    order = by_subject(rows)
    places = order.places(np.array([1, 2, 6, 7]))
    assert order.rows(places).tolist() == [7, 2, 6, 1]
    assert order.names.take(pa.array(order.subjects_of(places))).to_pylist() == ["b", "a", "a"]
    assert order.subjects_of(order.places(np.array([1]))).tolist() == []


def test_more_subjects_than_16_bits_hold_are_in_order() -> None:
    numbers = np.random.default_rng(0).integers(0, 70_000, 200_000)
    order = by_subject(pa.table({"subject": pa.array(numbers).cast(pa.string()), "length": numbers}))
    found = numbers[order.rows(None)]
    _, first = np.unique(numbers, return_index=True)
    assert (np.diff(order.subjects) >= 0).all()
    assert len(order.names) == len(first) > 1 << 16
    assert (order.names.take(pa.array(order.subjects)).to_numpy(zero_copy_only=False) == found.astype(str)).all()


def test_lengths_below_zero_stay_what_they_are() -> None:
    assert by_subject(pa.table({"subject": ["a", "b"], "length": [-1, 300]})).lengths.tolist() == [-1, 300]
