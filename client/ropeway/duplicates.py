"""Samples that hold the same: which they are, and which of them is the first. Pure functions over index columns."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class Place(NamedTuple):
    """A row of one of several tables."""

    table: int
    row: int


def groups(tables: Sequence[pa.Table]) -> Iterator[list[Place]]:
    """The rows that hold the same, two or more in each group, by table and then key; groups in order of their first.

    Args:
        tables: with the columns `key` and `content`; rows whose content is null are like no other.
    """
    rows = _repeated(tables)
    columns = zip(*(rows.column(name).to_pylist() for name in ("content", "table", "row", "key")), strict=True)
    found = [list(group) for _, group in groupby(columns, key=lambda row: row[0])]
    for group in sorted(found, key=lambda group: (group[0][1], group[0][3])):
        yield [Place(table, row) for _, table, row, _ in group]


def firsts(tables: Sequence[pa.Table]) -> list[npt.NDArray[np.bool_]]:
    """Per table the rows to keep so that no content is there twice: the first of each group, by table and then key."""
    kept = [np.ones(len(table), np.bool_) for table in tables]
    rows = _repeated(tables)
    content, table, row = (rows.column(name).to_numpy() for name in ("content", "table", "row"))
    again = np.flatnonzero(content[1:] == content[:-1]) + 1
    for number, keep in enumerate(kept):
        keep[row[again[table[again] == number]]] = False
    return kept


def _repeated(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows whose content is there more than once, sorted by content, table and key (as UTF-8 bytes)."""
    valid = [pc.drop_null(table.column("content")).to_numpy() for table in tables]
    contents, counts = np.unique(np.concatenate([*valid, np.empty(0, np.int64)]), return_counts=True)
    several = pa.array(contents[counts > 1], pa.int64())
    found = []
    for number, table in enumerate(tables):
        rows = np.flatnonzero(pc.is_in(table.column("content"), several).to_numpy())
        here = table.select(["key", "content"]).take(pa.array(rows))
        here = here.append_column("row", pa.array(rows))
        found.append(here.append_column("table", pa.array(np.full(len(rows), number, np.int64))))
    return pa.concat_tables(found).sort_by([(name, "ascending") for name in ("content", "table", "key")])
