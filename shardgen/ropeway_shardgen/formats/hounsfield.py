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

    Raises:
        ValueError: some would not be whole, or not fit.
    """
    slope, intercept = fields.get("slope"), fields.get("intercept")
    factor, shift = float(1 if slope is None else slope), float(intercept or 0)
    if stored.dtype.kind in "iu" and factor.is_integer() and shift.is_integer():
        whole = stored.astype(np.int64) * int(factor) + int(shift)
    else:
        exact = stored.astype(np.float64) * factor + shift
        if not np.isfinite(exact).all():
            raise ValueError("some values are not numbers, so they are no Hounsfield units")
        whole = np.rint(exact).astype(np.int64)
        if exact.size and float(np.abs(exact - whole).max()) > _SLACK:
            raise ValueError(
                f'slope {factor:g} and intercept {shift:g} give no whole Hounsfield units: pack values = "stored"'
            )
    limits = np.iinfo(np.int16)
    if whole.size and not limits.min <= int(whole.min()) <= int(whole.max()) <= limits.max:
        raise ValueError(f"{whole.min()} to {whole.max()} HU: more than 16 bits hold")
    return whole.astype(np.int16)
