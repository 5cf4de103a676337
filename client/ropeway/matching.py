"""Which rows of indexes a condition holds for: where it reads the same in several of them, they are asked together.

A question costs DuckDB milliseconds before it looks at a row, and a store has dozens of datasets.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from ropeway.indexed import Indexed, identifier
from ropeway.query import Scalar
from ropeway.samples import Ints

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """SQL over one index, made by us, with what its placeholders stand for; empty where every row is meant."""

    indexed: Indexed
    sql: str
    params: list[Scalar]

    @cached_property
    def columns(self) -> list[pa.Field]:
        """The columns that it reads."""
        return [column for column in self.indexed.rows.schema if identifier(column.name) in self.sql]


_Alike: TypeAlias = tuple[list[int], list[Condition]]
"""Conditions that read the same, and their places among all."""


def matching(database: duckdb.DuckDBPyConnection, conditions: Sequence[Condition]) -> list[Ints | None]:
    """For each condition the rows of its index for which it holds, ascending; None: all of them."""
    found: list[Ints | None] = [None] * len(conditions)
    groups = _alike(conditions)
    sizes = [sum(len(condition.indexed.rows) for condition in group) for _, group in groups]
    for (places, _), several in zip(
        groups, at_once(lambda group: _rows(database, group[1]), groups, sizes), strict=True
    ):
        for place, rows in zip(places, several, strict=True):
            found[place] = rows
    return found


def at_once(work: Callable[[S], T], several: Sequence[S], sizes: Sequence[int]) -> list[T]:
    """Work on each of several in as many threads as there are cores, the largest first; DuckDB and NumPy let go of the
    interpreter."""
    if len(several) <= 1:
        return [work(one) for one in several]
    by_size = sorted(range(len(several)), key=lambda place: -sizes[place])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = {place: pool.submit(work, several[place]) for place in by_size}
        return [begun[place].result() for place in range(len(several))]


def _alike(conditions: Sequence[Condition]) -> list[_Alike]:
    groups: dict[str, _Alike] = {}
    for place, condition in enumerate(conditions):
        if condition.sql:
            name = repr((condition.sql, condition.params, [(column.name, column.type) for column in condition.columns]))
            places, alike = groups.setdefault(name, ([], []))
            places.append(place)
            alike.append(condition)
    return list(groups.values())


def _rows(database: duckdb.DuckDBPyConnection, alike: Sequence[Condition]) -> list[Ints]:
    """The rows of each index for which their common condition holds."""
    names = ["row", *(column.name for column in alike[0].columns)]
    together = pa.concat_tables([condition.indexed.rows.select(names) for condition in alike])
    with database.cursor() as cursor:
        cursor.register("rows", together)
        asked = cursor.execute(f"SELECT row FROM rows WHERE {alike[0].sql}", alike[0].params)
        rows = np.ascontiguousarray(asked.fetchnumpy()["row"], np.int64)
    rows.sort(kind="stable")  # they come nearly in order: that takes no time, and no word of DuckDB's
    bounds = [(one.indexed.first, one.indexed.first + len(one.indexed.rows)) for one in alike]
    cuts = np.searchsorted(rows, bounds)
    return [rows[start:stop] - first for (start, stop), (first, _) in zip(cuts, bounds, strict=True)]
