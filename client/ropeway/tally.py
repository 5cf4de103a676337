"""Sums over groups of rows, some thousand rows at a time: what is worked out of them stays in the processor's cache.

Over all rows of an index at once, most of the time went into memory that had to be had for it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ropeway.buffers import Pool, small_pages
from ropeway.by_subject import Numbers32
from ropeway.codes import ROWS, Numbers, fitting
from ropeway.samples import Ints

_TABLE = 1 << 22
"""Bytes of a table of groups and members."""

_TABLES = Pool(keep=8 * _TABLE, make=small_pages)
"""Memory of tables, used again."""

_FEW = 1 << 16
"""Combinations that may be told apart by a table of all."""

_WORTH = 1 << 8
"""Pairs of group and member for each row, up to which a byte for each pair is quicker than sorting the rows."""


Integers: TypeAlias = npt.NDArray[np.integer[Any]]


class Column(NamedTuple):
    """A number for each row, unsigned (n,), and how many different ones there may be."""

    codes: Numbers
    several: int


class Groups(NamedTuple):
    """Rows by what they have in some columns.

    Attributes:
        number: the group of each row, unsigned (n,), from 0 without gaps.
        codes: for each column, what the groups have in it.
        samples: how many rows each group has.
    """

    number: Numbers
    codes: tuple[Ints, ...]
    samples: Ints


def grouped(columns: Sequence[Column], size: int) -> Groups:
    """The groups of so many rows, in order of what they have, the first column foremost."""
    most = prod(column.several for column in columns)
    return _by_table(columns, size, most) if most <= max(_FEW, size) else _by_sorting(columns, size)


def sums(number: Integers, groups: int, weights: npt.NDArray[np.number] | None = None) -> Ints:
    """Of each group the sum of its rows' whole weights, or how many rows it has; exact up to 2⁵³."""
    found = np.zeros(groups)
    for rows in _blocks(len(number), groups):
        found += np.bincount(number[rows], None if weights is None else weights[rows], groups)
    return found.astype(np.int64)


def distinct(number: Numbers, groups: int, members: Numbers32) -> Ints:
    """Different members of each group.

    Args:
        number: the group of each row.
        groups: how many there are.
        members: int32 (m,), ascending, of the first m rows; the others have none.
    """
    other = members[1:] != members[:-1]
    if other.all():  # each is met once
        return sums(number[: len(members)], groups)
    if members[-1] >= len(members):  # with gaps
        members = np.append(np.int32(0), np.cumsum(other, dtype=np.int32))
    several = int(members[-1]) + 1
    if groups * several > _WORTH * len(members):
        pairs = different(number[: len(members)] * np.int64(several) + members)
        return np.bincount(pairs // several, minlength=groups)
    pieces = 1 + max(groups * several // _TABLE, len(members) // ROWS)
    width = -(-several // pieces)
    met = _TABLES.take(groups * width).view(np.bool_)
    each = met.reshape(groups, width)
    found = np.zeros(groups, np.int64)
    bounds = width * np.arange(pieces + 1, dtype=members.dtype)
    for first, (start, stop) in zip(bounds, pairwise(np.searchsorted(members, bounds)), strict=False):
        met[:] = False
        met[_pairs(number[start:stop], members[start:stop] - first, width)] = True
        found += [np.count_nonzero(one) for one in each]  # `sum` over an axis widens every byte first
    return found


def different(numbers: Ints) -> Ints:
    """The different ones, ascending. `np.unique` hashes them first: twenty times as long where most of them differ."""
    found = np.sort(numbers)
    return found[np.flatnonzero(np.diff(found, prepend=-1))] if len(found) else found


def _by_table(columns: Sequence[Column], size: int, most: int) -> Groups:
    number = _combined([column for column in columns if column.several > 1], size, most)
    samples = sums(number, most)
    found = np.flatnonzero(samples)
    if len(found) < most:
        number, samples = _renamed(number, found), samples[found]
    codes = list[Ints]()
    for column in reversed(columns):
        found, code = np.divmod(found, column.several)
        codes.append(code)
    return Groups(number, tuple(reversed(codes)), samples)


def _renamed(number: Numbers, found: Ints) -> Numbers:
    """The places of numbers among those found, which ascend."""
    kind = fitting(len(found) - 1)
    place, renamed = np.zeros(found[-1] + 1, kind), np.empty(len(number), kind)
    place[found] = np.arange(len(found))
    for rows in _blocks(len(number), 0):
        renamed[rows] = place[number[rows].astype(np.intp)]
    return renamed


def _combined(columns: Sequence[Column], size: int, most: int) -> Numbers:
    """One number for what each row has in several columns."""
    if len(columns) == 1:
        return columns[0].codes
    found = np.zeros(size, fitting(most - 1))
    for rows in _blocks(size, 0) if columns else ():
        number = np.zeros(rows.stop - rows.start, np.int64)
        for codes, several in columns:
            number = _pairs(number, codes[rows], several)
        found[rows] = number
    return found


def _by_sorting(columns: Sequence[Column], size: int) -> Groups:
    """The same where most combinations are not there."""
    number, codes = np.zeros(size, np.int64), list[Ints]()
    samples = np.array([size])
    for column in columns:
        pairs = _pairs(number, column.codes, column.several)
        found, number, samples = np.unique(pairs, return_inverse=True, return_counts=True)
        before, code = np.divmod(found, column.several)
        codes = [*(one[before] for one in codes), code]
    return Groups(number.astype(fitting(len(samples) - 1)), tuple(codes), samples)


def _pairs(one: Integers, other: Integers, several: int) -> Ints:
    """One number for each pair of numbers, the second of which is one of several."""
    found = one * np.int64(several)
    found += other
    return found


def _blocks(size: int, groups: int) -> Iterator[slice]:
    """Rows to look at at once: at least as many as there are groups, which each takes a look at, too."""
    step = max(ROWS, groups)
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
