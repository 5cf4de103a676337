"""Sums over groups of rows, some thousand rows at a time: what is worked out of them stays in the processor's cache.

Over all rows of an index at once, most of the time went into memory that had to be had for it.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.buffers import Pool, small_pages
from ropeway.samples import Ints

Numbers: TypeAlias = npt.NDArray[np.int32]

_TABLES = Pool(keep=1 << 26, make=small_pages)
"""Memory of tables, used again: fresh memory for each costs more than all that is done in it."""

_ROWS = 1 << 15
"""Rows looked at at once, at least."""

_FEW = 1 << 16
"""Combinations that may be told apart by a table of all."""

_BITS = 1 << 26
"""Pairs of group and member, up to which a byte for each is quicker than sorting them."""


def numbered(columns: Sequence[tuple[Numbers, int]], size: int) -> tuple[Numbers, Ints]:
    """The group of each row, by what it has in some columns.

    Args:
        columns: a number for each row, int32 (size,), −1 for none; and how many different ones there are.
        size: rows.

    Returns:
        The groups, int32 (size,), from 0 without gaps; and for each of them the columns' numbers as digits, the first
        one foremost: a digit is one more than the number, and a column has one digit more than numbers.
    """
    most = int(np.prod([several + 1 for _, several in columns], dtype=np.float64))
    if most > max(_FEW, size):
        found, places = np.unique(_digits(columns, slice(0, size)), return_inverse=True)
        return places.astype(np.int32), found
    number, there = np.empty(size, np.int32), np.zeros(most, np.bool_)
    for rows in _blocks(size, 0):
        number[rows] = digits = _digits(columns, rows)
        there[digits] = True
    found = np.flatnonzero(there)
    if len(found) < most:
        renamed = np.cumsum(there, dtype=np.int32) - 1
        for rows in _blocks(size, 0):
            number[rows] = renamed[number[rows]]
    return number, found


def sums(number: Numbers, groups: int, weights: npt.NDArray[np.number] | None = None) -> npt.NDArray[np.float64]:
    """Of each group the sum of its rows' weights, or how many rows it has; exact up to 2⁵³."""
    found = np.zeros(groups)
    for rows in _blocks(len(number), groups):
        found += np.bincount(number[rows], None if weights is None else weights[rows], groups)
    return found


def distinct(number: Numbers, groups: int, members: Numbers, several: int) -> Ints:
    """Different members of each group.

    Args:
        number: the group of each row.
        groups: how many there are.
        members: of each row; −1 for none.
        several: how many different ones there are.
    """
    if groups * several > _BITS:
        pairs = number * np.int64(several) + members
        return np.bincount(different(pairs[members >= 0]) // several, minlength=groups)
    met = _TABLES.take(groups * several).view(np.bool_)
    met[:] = False
    for rows in _blocks(len(number), 0):
        pairs = number[rows] * np.int64(several) + members[rows]
        met[pairs[members[rows] >= 0]] = True
    each = met.reshape(groups, several)  # counted one by one: `sum` over an axis widens every byte first
    return np.fromiter((np.count_nonzero(one) for one in each), np.int64, groups)


def different(numbers: Ints) -> Ints:
    """The different ones, ascending. `np.unique` hashes them first: twenty times as long where most of them differ."""
    found = np.sort(numbers)
    return found[np.flatnonzero(np.diff(found, prepend=-1))] if len(found) else found


def _digits(columns: Sequence[tuple[Numbers, int]], rows: slice) -> Ints:
    found = np.zeros(rows.stop - rows.start, np.int64)
    for numbers, several in columns:
        found *= several + 1
        found += numbers[rows]
        found += 1
    return found


def _blocks(size: int, groups: int) -> Iterator[slice]:
    """Rows to look at at once: at least as many as there are groups, which each takes a look at, too."""
    step = max(_ROWS, groups)
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
