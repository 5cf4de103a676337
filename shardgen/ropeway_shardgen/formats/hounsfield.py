"""CT values in Hounsfield units, whatever numbers a file has, so that every packed CT means the same.

Stored value × slope + intercept (DICOM PS3.3, C.11.1.1.2; NIfTI's scl_slope and scl_inter). Done only where nothing is
lost: where the results are whole numbers that 16 bits hold, as CT's are.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.fields import Fields

Values: TypeAlias = Literal["stored", "hounsfield"]
"""What a recipe wants of a volume: numbers as the file has them, or int16 Hounsfield units."""

_SLACK = 1e-3
"""How far a result may be off a whole number: what float32 files lose."""


def in_hounsfield(stored: npt.NDArray[Any], fields: Fields) -> npt.NDArray[np.int16]:
    """Stored values as int16 Hounsfield units, by the fields `slope` and `intercept` (absent: 1 and 0).

    Takes no more memory than its result: a CT of a thousand slices has half a gigabyte.

    Raises:
        ValueError: some would not be whole, or not fit.
    """
    slope, intercept = fields.get("slope"), fields.get("intercept")
    factor, shift = float(1 if slope is None else slope), float(intercept or 0)
    if stored.dtype.kind in "iu" and factor.is_integer() and shift.is_integer():
        return _of_integers(stored, int(factor), int(shift))
    found = np.empty(stored.shape, np.int16)
    for slices, into in zip(np.atleast_2d(stored), np.atleast_2d(found), strict=True):
        into[...] = _of_numbers(slices, factor, shift)
    return found


def _of_integers(stored: npt.NDArray[Any], factor: int, shift: int) -> npt.NDArray[np.int16]:
    """By 16-bit arithmetic, which wraps around on the way and is right at the end, where the results fit."""
    if stored.size:
        low, high = sorted(int(end) * factor + shift for end in (stored.min(), stored.max()))
        _check(low, high)
    found = stored.astype(np.int16)
    found *= _wrapped(factor)
    found += _wrapped(shift)
    return found


def _wrapped(number: int) -> np.int16:
    return np.uint16(number % (1 << 16)).view(np.int16)


def _of_numbers(stored: npt.NDArray[Any], factor: float, shift: float) -> npt.NDArray[np.float64]:
    """Whole numbers that 16 bits hold."""
    exact = stored.astype(np.float64) * factor + shift
    if not np.isfinite(exact).all():
        raise ValueError("some values are not numbers, so they are no Hounsfield units")
    whole = np.rint(exact)
    if not exact.size:
        return whole
    if float(np.abs(exact - whole).max()) > _SLACK:
        raise ValueError(
            f'slope {factor:g} and intercept {shift:g} give no whole Hounsfield units: pack values = "stored"'
        )
    _check(int(whole.min()), int(whole.max()))
    return whole


def _check(low: int, high: int) -> None:
    limits = np.iinfo(np.int16)
    if not limits.min <= low <= high <= limits.max:
        raise ValueError(f"{low} to {high} HU: more than 16 bits hold")
