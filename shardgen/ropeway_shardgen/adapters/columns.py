"""Rows of other training formats: MDS (.mds), litdata (.bin), HF datasets (.arrow), Parquet (.parquet)."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.adapters.text import text_payload
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.arrow_file import ArrowFile
from ropeway_shardgen.formats.columns import Cell, Columns
from ropeway_shardgen.formats.litdata_file import LitdataFile
from ropeway_shardgen.formats.mds_file import MdsFile


class ColumnsOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As the source: nothing. As a part: which column it is, and what that means."""

    column: str = ""
    format: str = ""
    """Of encoded content, such as `jpg`: files of bytes do not say."""
    fields: tuple[str, ...] = ()
    """Columns of words and numbers that become fields; left out, all of them do."""
    axes: tuple[str, ...] = ()
    """Names of an array's axes."""
    channels: tuple[str, ...] = ()
    """Names along an array's first axis."""
    units: str = ""
    sampling_rate: float | None = None
    """Hz."""


def _open(path: Path) -> Columns:
    match path.suffix:
        case ".mds":
            return MdsFile(path)
        case ".bin":
            return LitdataFile(path)
        case ".arrow" | ".parquet":
            return ArrowFile(path)
    raise ValueError(f"{path.name} is not .mds, .bin, .arrow or .parquet")


_OPENED = Opened(_open, limit=2)


def companions(path: Path, _options: ColumnsOptions) -> Iterable[Path]:
    """The file that says what the columns are."""
    return [path.with_name("index.json")] if path.suffix in (".mds", ".bin") else []


def rows(path: Path, options: ColumnsOptions) -> Iterator[Row]:
    """One row per row: `row` (from 0), and its words and numbers."""
    file = _OPENED.get(path)
    names = options.fields or _scalars(file)
    size = path.stat().st_size // max(len(file), 1)
    for row in range(len(file)):
        fields: dict[str, Value] = {name: _value(name, file.cell(row, name)) for name in names}
        yield Row({**fields, "row": row}, size)


def _scalars(file: Columns) -> list[str]:
    """The columns that hold a word or a number in the first row, as far as they are read at all."""
    found = []
    for name in file.names if len(file) else ():
        try:
            cell = file.cell(0, name)
        except ValueError:  # an encoding that is not taken: an error where a part asks for that column
            continue
        if cell is None or isinstance(cell, str | int | float):
            found.append(name)
    return found


def _value(name: str, cell: Cell) -> Value:
    if cell is None or isinstance(cell, str | int | float):
        return cell
    raise ValueError(f"column {name!r} holds no words or numbers: name the columns that do under options.fields")


def read(path: Path, found: Fields, options: ColumnsOptions) -> Payload:
    """The value of one column: content as it is, an array in its dtype, words as text, anything else as JSON.

    Raises:
        ValueError: the cell is empty, or is content of which the recipe does not say the format.
    """
    if not options.column:
        raise ValueError("the recipe does not say which column the part is (options.column)")
    cell = _OPENED.get(path).cell(int(lookup(found, "row") or 0), options.column)
    if isinstance(cell, bytes):
        if not options.format:
            raise ValueError(f"column {options.column!r} holds encoded content: say of which format (options.format)")
        return Payload(content=cell, format=options.format, units=options.units)
    if isinstance(cell, str):
        return text_payload(cell)
    if cell is None:
        raise ValueError(f"column {options.column!r} is empty in this row")
    if isinstance(cell, dict):
        return Payload(content=msgspec.json.encode(cell), format="json")
    values = np.asarray(cell)
    if values.dtype.kind not in "biufc":
        return Payload(content=msgspec.json.encode(cell), format="json")
    axes = options.axes or tuple(f"axis{axis}" for axis in range(values.ndim))
    if len(axes) != values.ndim:
        raise ValueError(f"column {options.column!r} has {values.ndim} axes, the recipe names {len(axes)}")
    if options.channels and len(options.channels) != values.shape[0]:
        raise ValueError(f"column {options.column!r} has {values.shape[0]} channels, the recipe names "
                         f"{len(options.channels)}")  # fmt: skip
    return array_payload(values, axes, units=options.units, sampling_rate=options.sampling_rate,
                         channels=options.channels)  # fmt: skip


ADAPTER = Adapter(options=ColumnsOptions, read=read, rows=rows, locators=lambda _: ("row",), companions=companions)
