"""What a recipe may ask to be made of DICOM's stored values: only what can be taken back without loss."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ropeway.index import Value
from ropeway_shardgen.fields import Fields


def turned_round(array: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Values of a MONOCHROME1 image, of which the least is the brightest, as MONOCHROME2: 2^bits − 1 − value.

    Raises:
        ValueError: the values are signed, or one is larger than the bits stored can say.
    """
    most = 2**bits - 1
    if array.dtype.kind != "u":
        raise ValueError(f"MONOCHROME1 values of dtype {array.dtype}: only unsigned ones can be turned round")
    if array.size and int(array.max()) > most:
        raise ValueError(f"a MONOCHROME1 value of {array.max()}, more than {bits} bits can say")
    turned: npt.NDArray[Any] = np.subtract(most, array, dtype=array.dtype)
    return turned


def turned_fields(fields: Fields, bits: int) -> dict[str, Value]:
    """Header fields of a MONOCHROME1 image that fit its values turned round: where its window and padding are then.

    A window is about rescaled values, y = slope · value + intercept; turned round, y becomes
    slope · (2^bits − 1) + 2 · intercept − y. One of the usual function, LINEAR, lies about centre − 0.5 (PS3.3,
    C.11.2.1.2).
    """
    most, found = 2**bits - 1, dict(fields)
    slope, intercept = (found.get(name) for name in ("slope", "intercept"))
    centre, padding = found.get("window_center"), found.get("padding")
    if isinstance(centre, float):
        whole = most * float(1 if slope is None else slope) + 2 * float(intercept or 0)
        linear = found.get("voi_function") in (None, "LINEAR")
        found["window_center"] = whole - centre + (1 if linear else 0)
    if isinstance(padding, int):
        found["padding"] = most - padding
    return found
