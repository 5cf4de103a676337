"""Hounsfield units: exact, or refused."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropeway_shardgen.formats.hounsfield import in_hounsfield


@given(value=st.integers(0, 4095), slope=st.integers(1, 4), intercept=st.integers(-8192, 0))
def test_whole_slopes_are_exact(value: int, slope: int, intercept: int) -> None:
    found = in_hounsfield(np.array([value], "<u2"), {"slope": float(slope), "intercept": float(intercept)})
    assert (found.dtype, found.tolist()) == (np.dtype(np.int16), [value * slope + intercept])


def test_floats_that_are_whole_and_headers_without_a_scale() -> None:
    assert in_hounsfield(np.array([-1024.0, 40.0], "<f4"), {}).tolist() == [-1024, 40]
    assert in_hounsfield(np.array([2, 4], "<i2"), {"slope": 0.5, "intercept": None}).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("stored", "slope", "words"),
    [
        (np.array([1], "<i2"), 0.5, "slope 0.5 and intercept 0 give no whole Hounsfield units"),
        (np.array([np.nan], "<f4"), 1.0, "not numbers"),
        (np.array([40000], "<u2"), 1.0, "40000 to 40000 HU: more than 16 bits hold"),
    ],
)
def test_what_would_lose_something_is_refused(stored: npt.NDArray[Any], slope: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        in_hounsfield(stored, {"slope": slope, "intercept": 0.0})
