"""Columns of an index as small numbers, in the order in which samples are counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ropeway.by_subject import Numbers32

Numbers: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

FEW = 1 << 12
"""Different values of a column that has few."""

_FAR = 1 << 62
"""Numbers that far from 0 are left alone: with one less or more they might be none of 64 bits."""

ROWS = 1 << 17
"""Rows looked at at once: what is worked out of them stays in the processor's cache, and threads that take turns at the
interpreter do not come back for it too often."""


_Found: TypeAlias = tuple[pa.Array, Callable[[slice], pa.Array]]
"""Different values, and what gives the places among them of some rows, null where there is none."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A column as numbers.

    Attributes:
        codes: unsigned (n,), places in `values`.
        values: the different values, null among them where a row has none; perhaps more than there are.
    """

    codes: Numbers
    values: pa.Array


def coded(stored: pa.Array, place: Numbers32) -> Codes:
    """The codes of a column.

    Args:
        stored: the column, of index rows.
        place: int32 (n,), where each row comes among the codes.
    """
    values, codes_of = _near(stored) or _different(stored)
    several = len(values)
    if stored.null_count:
        values = pa.concat_arrays([values, pa.nulls(1, values.type)])
    codes = np.empty(len(stored), fitting(max(0, len(values) - 1)))
    for start in range(0, len(stored), ROWS):
        rows = slice(start, start + ROWS)
        # not safe: nobody knows what stands behind a null
        found = codes_of(rows).cast(pa.from_numpy_dtype(codes.dtype), safe=False)
        codes[place[rows].astype(np.intp)] = found.fill_null(pa.scalar(several, found.type)).to_numpy()
    return Codes(codes, values)


def has_few(stored: pa.Array) -> bool:
    """Whether a column is known to have few values, so that its codes take little time and memory."""
    kind = stored.type
    return bool(pa.types.is_boolean(kind) or pa.types.is_dictionary(kind)) or _near(stored) is not None


def fitting(most: int) -> "np.dtype[np.unsignedinteger[Any]]":
    """The smallest type for numbers from 0 to `most`."""
    return np.min_scalar_type(most)


def _near(stored: pa.Array) -> _Found | None:
    """Of whole numbers that lie near one another, such as ages: how far each is from the least one."""
    if not pa.types.is_integer(stored.type) or stored.null_count == len(stored):
        return None
    least, most = pc.min_max(stored).as_py().values()
    if most - least >= FEW or max(-least, most) >= _FAR:
        return None
    values = pa.array(range(least, most + 1), stored.type)
    return values, lambda rows: pc.subtract(stored[rows].cast(pa.int64()), least)


def _different(stored: pa.Array) -> _Found:
    if pa.types.is_boolean(stored.type):
        return pa.array([False, True]), lambda rows: stored[rows]
    plain = stored if pa.types.is_dictionary(stored.type) else stored.dictionary_encode()
    return plain.dictionary, lambda rows: plain.indices[rows]
