"""Tables of the raw data: CSV and TSV (also gzipped), Parquet, Excel, JSON and JSON lines, as rows of fields."""

import csv
import gzip
import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ropeway.decoders.libraries import require
from ropeway.errors import RopewayError, SourceError
from ropeway.index import Value
from ropeway_shardgen.fields import Fields, compiled, text
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.listing import Listing
from ropeway_shardgen.problems import Problems, SampleError, one_line
from ropeway_shardgen.reading import timed
from ropeway_shardgen.rules import TableRule

_LARGEST = 1 << 29
"""Characters of a JSON file, and bytes of a workbook's sheets: these are held in memory while they are read."""

_GLOB = frozenset("*?[")


def table_rows(rule: TableRule, listing: Listing, problems: Problems) -> Iterator[tuple[str, int, Fields]]:
    """Every row of a rule's tables: the table's path, the row's number (from 1) and its fields.

    A row has the columns of its own table, and those that a table may lack; a JSON object has those of all objects.

    Raises:
        SourceError: a table is missing or is not one.
    """
    paths = _paths(rule, listing)
    columns: dict[str, Value] = dict.fromkeys(rule.may_lack)
    for path in paths:
        if _kind(path) in ("json", "jsonl"):
            with _named(path, listing):
                columns |= dict.fromkeys(_columns(listing, path, rule))
    for path in paths:
        groups = _named_groups(rule, path, listing.dataset)
        with _named(path, listing):
            for number, cells in enumerate(timed(_rows(listing.root / path, rule), path), 1):
                if isinstance(cells, str):
                    problems.add(SampleError(f"row {number} of {path} {cells}"))
                    continue
                yield path, number, {**columns, **groups, **cells, "row": number}


@contextmanager
def _named(path: str, listing: Listing) -> Iterator[None]:
    """Count a table in as a raw file; whatever is wrong with it becomes a SourceError that names it."""
    try:
        listing.add(path)
    except SampleError as error:
        raise SourceError(str(error), dataset=listing.dataset) from error
    try:
        yield
    except SampleError as error:  # samples may be left out for it, but no table
        raise SourceError(f"table {path} cannot be read: {error.reason}", dataset=listing.dataset) from error
    except RopewayError:
        raise
    except Exception as error:  # of whatever library reads the format
        raise SourceError(f"table {path} cannot be read: {one_line(error)}", dataset=listing.dataset) from error


def _paths(rule: TableRule, listing: Listing) -> list[str]:
    found: list[str] = []
    for path in rule.tables:
        try:
            found += listing.glob(path) if _GLOB & set(path) else [path]
        except SampleError as error:
            raise SourceError(str(error), dataset=listing.dataset) from error
    return found


def _named_groups(rule: TableRule, path: str, dataset: str) -> Fields:
    if not rule.pattern:
        return {}
    match = compiled(rule.pattern).search(path)
    if match is None:
        raise SourceError(f"table {path} does not match the pattern {rule.pattern!r}", dataset=dataset)
    return match.groupdict()


def _rows(path: Path, rule: TableRule) -> Iterator[Fields | str]:
    """The rows as fields, or as what is wrong with them."""
    match _kind(path.name):
        case "parquet":
            yield from _parquet(path, rule)
        case "xlsx":
            yield from _sheet(path, rule)
        case "json" | "jsonl" as kind:
            yield from _objects(path, rule, lines=kind == "jsonl")
        case "tsv":
            yield from _delimited(path, rule, "\t")
        case _:
            yield from _delimited(path, rule, ",")


def _kind(path: str) -> str:
    return path.removesuffix(".gz").rpartition(".")[2].lower()


def _columns(listing: Listing, path: str, rule: TableRule) -> Iterator[str]:
    """The columns of any of the objects of a JSON table."""
    for row in timed(_rows(listing.root / path, rule), path):
        yield from () if isinstance(row, str) else row


def _delimited(path: Path, rule: TableRule, usual: str) -> Iterator[Fields | str]:
    csv.field_size_limit(bounded.LONGEST_LINE)  # the module's own is lower than some report texts are long
    with _text(path, rule) as file:
        lines = itertools.islice(bounded.lines(file), rule.skip, None)
        rows = csv.reader(lines, delimiter=rule.delimiter or usual, strict=True)
        columns, missing = rule.columns or _header(next(rows, [])), frozenset(rule.missing)
        for cells in rows:
            if cells:
                yield _row(columns, cells, missing)


def _row(columns: Sequence[str], cells: Sequence[Value], missing: frozenset[str]) -> Fields | str:
    if len(cells) != len(columns):
        return f"has {len(cells)} cells, the header {len(columns)}"
    row = zip(columns, cells, strict=True)
    return dict(row) if missing.isdisjoint(cells) else {name: None if cell in missing else cell for name, cell in row}


def _header(columns: Sequence[Any]) -> list[str]:
    names = [str(name or "").strip() or f"column{number}" for number, name in enumerate(columns)]
    if not names or len(set(names)) != len(names):
        raise ValueError("it has no header, or one with a name twice")
    return names


def _text(path: Path, rule: TableRule) -> io.TextIOWrapper:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding=rule.encoding, newline="")
    return path.open(encoding=rule.encoding, newline="")


def _parquet(path: Path, rule: TableRule) -> Iterator[Fields]:
    with pq.ParquetFile(path) as file:
        bounded.check_groups(file.metadata)
        for batch in bounded.batches(file):
            yield from (_flat(row, rule) for row in batch.to_pylist())


def _sheet(path: Path, rule: TableRule) -> Iterator[Fields | str]:
    """The first sheet of a workbook; formulas by their stored result."""
    with path.open("rb") as file:  # the library leaves it open where it fails
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST:,} bytes")
        book = require("openpyxl", "excel").load_workbook(file, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # a sheet may say that its empty rows are 16,384 cells wide
        rows = map(_trimmed, sheet.iter_rows(values_only=True))
        columns, missing = rule.columns or _header(next(rows, [])), frozenset(rule.missing)
        for cells in rows:
            if cells:
                lacking = [None] * (len(columns) - len(cells))
                yield _row(columns, [*map(_plain, cells), *lacking], missing)


def _trimmed(cells: Sequence[Any]) -> list[Any]:
    """A row without the empty cells that a sheet has to its right."""
    full = [place for place, cell in enumerate(cells) if cell is not None]
    return list(cells[: full[-1] + 1]) if full else []


def _objects(path: Path, rule: TableRule, *, lines: bool) -> Iterator[Fields]:
    with _text(path, rule) as file:
        objects = (json.loads(line) for line in bounded.lines(file) if line.strip())
        found = objects if lines else json.loads(bounded.whole(file, _LARGEST))
        if isinstance(found, dict):
            raise ValueError("it is an object, not a list of them")
        for entry in found:
            yield _flat(entry, rule)


def _flat(entry: Any, rule: TableRule, before: str = "") -> Fields:
    """An object's entries as fields: nested names are joined by dots, lists by `;`."""
    if not isinstance(entry, dict):
        raise ValueError("it holds something that is not an object")
    fields: dict[str, Value] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            fields |= _flat(value, rule, f"{before}{name}.")
            continue
        plain = _plain(value)
        fields[before + name] = None if text(plain) in rule.missing else plain
    return fields


def _plain(value: Any) -> Value:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ";".join(text(_plain(one)) or "" for one in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
