"""Hounsfield units: exact, or refused."""

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ropeway_shardgen.formats.hounsfield import in_hounsfield


@given(value=st.integers(0, 4095), slope=st.integers(1, 4), intercept=st.integers(-8192, 0))
def test_whole_slopes_are_exact(value: int, slope: int, intercept: int) -> None:
    found = in_hounsfield(np.array([value], "<u2"), {"slope": float(slope), "intercept": float(intercept)})
    assert (found.dtype, found.tolist()) == (np.dtype(np.int16), [value * slope + intercept])


def test_floats_that_are_whole_and_headers_without_a_scale() -> None:
    assert in_hounsfield(np.array([-1024.0, 40.0], "<f4"), {}).tolist() == [-1024, 40]
    assert in_hounsfield(np.array([2, 4], "<i2"), {"slope": 0.5, "intercept": None}).tolist() == [1, 2]


@given(
    stored=arrays(st.sampled_from(["<u1", "<i2", "<u2", "<i4", "<u4"]), st.sampled_from([(3,), (2, 3), (2, 2, 2)])),
    slope=st.integers(-3, 3) | st.sampled_from([1 << 16, 1e300]),
    intercept=st.integers(-70_000, 70_000),
)
def test_integers_are_what_wider_arithmetic_makes_of_them(
    stored: npt.NDArray[Any], slope: float, intercept: int
) -> None:
    exact = stored.astype(object) * int(slope) + intercept
    told = {"slope": float(slope), "intercept": float(intercept)}
    if np.all((exact >= -32768) & (exact <= 32767)):
        assert in_hounsfield(stored, told).tolist() == exact.tolist()
    else:
        with pytest.raises(ValueError, match="more than 16 bits hold"):
            in_hounsfield(stored, told)


@pytest.mark.parametrize(("dtype", "slope", "most"), [("<i2", 1.0, 1.1), ("<u2", 2.0, 1.1), ("<f4", 1.0, 1.3)])
def test_a_volume_takes_no_more_memory_than_its_result(dtype: str, slope: float, most: float) -> None:
    volume = np.full((100, 128, 128), 40, dtype)
    tracemalloc.start()
    found = in_hounsfield(volume, {"slope": slope, "intercept": -1024.0})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found == 40 * slope - 1024).all()
    assert peak < most * found.nbytes


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
