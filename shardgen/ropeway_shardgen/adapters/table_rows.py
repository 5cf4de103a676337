"""The rows of a table that belong to a sample, as an array of numbers: tracings, marks, events."""

import csv
import gzip
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, fill, holes
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.problems import SampleError


class TableRowsOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which rows and columns of the table."""

    on: Mapping[str, str]
    """Column → template of the sample's fields: rows that agree belong to the sample."""
    columns: tuple[str, ...]
    """Columns of numbers, in this order."""
    may_lack: bool = False
    """Whether a sample may have no rows; its array then has none."""
    delimiter: str = ","
    missing: tuple[str, ...] = ("", "NA", "NaN", "nan")
    """Words that stand for a missing value, stored as NaN."""


class _Table:
    """A table in memory: for each value of its joining columns, the rows that have it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[tuple[str, ...], tuple[str, ...], str], dict[tuple[str, ...], list[list[str]]]] = {}

    def rows(self, options: TableRowsOptions) -> dict[tuple[str, ...], list[list[str]]]:
        """Values of the joining columns → rows of the wanted columns."""
        kind = (tuple(options.on), options.columns, options.delimiter)
        if kind not in self._rows:
            self._rows[kind] = self._read(options)
        return self._rows[kind]

    def _read(self, options: TableRowsOptions) -> dict[tuple[str, ...], list[list[str]]]:
        found: dict[tuple[str, ...], list[list[str]]] = {}
        with _opened(self.path) as file:
            rows = csv.reader(bounded.lines(file), delimiter=options.delimiter, strict=True)
            header = [name.strip() for name in next(rows, [])]
            lacking = [name for name in (*options.on, *options.columns) if name not in header]
            if lacking:
                raise ValueError(f"there is no column {lacking[0]!r}; there is: {', '.join(header) or 'none'}")
            on, wanted = ([header.index(name) for name in names] for names in (options.on, options.columns))
            for number, cells in enumerate(rows, 1):
                if len(cells) != len(header):
                    raise ValueError(f"row {number} has {len(cells)} cells, the header {len(header)}")
                found.setdefault(tuple(cells[place] for place in on), []).append([cells[place] for place in wanted])
        return found

    def close(self) -> None:
        """Nothing stays open."""


def _opened(path: Path) -> io.TextIOWrapper:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


_OPENED = Opened(_Table)


def read(path: Path, fields: Fields, options: TableRowsOptions) -> Payload:
    """float64 [row, column], rows in the table's order; the names of the columns are its channels. Field: `rows`."""
    key = tuple(fill(template, fields) for template in options.on.values())
    rows = _OPENED.get(path).rows(options).get(key, [])
    if not rows and not options.may_lack:
        raise SampleError(f"no row has {' and '.join(options.on)} as the sample does", reason="missing value")
    values = np.array([[_number(cell, options) for cell in row] for row in rows], np.float64)
    array = values.reshape(len(rows), len(options.columns))
    return array_payload(array, ("row", "column"), channels=options.columns, fields={"rows": len(rows)})


def _number(cell: str, options: TableRowsOptions) -> float:
    try:
        return float("nan") if cell in options.missing else float(cell)
    except ValueError:
        raise SampleError(f"{cell!r} in one of {', '.join(options.columns)} is not a number") from None


def _locators(options: TableRowsOptions) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for template in options.on.values() for name in holes(template)))


ADAPTER = Adapter(options=TableRowsOptions, read=read, locators=_locators)
