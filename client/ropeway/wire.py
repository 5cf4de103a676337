"""Columns on the wire: msgpack that any language reads.

A page is a msgpack map: `{"rows": n, "columns": {name: column}}`. A column is a map with
    `dtype`   NumPy's name for the element type, little-endian: `<i4 <i8 <u4 <f4 <f8 |i1 |u1`, or `utf8`,
    `shape`   list of dimensions, the first is `rows`,
    `data`    raw little-endian elements in C order; for `utf8` the concatenated UTF-8 bytes,
    `offsets` only for `utf8`: raw `<i4`, rows + 1 of them; string i is `data[offsets[i]:offsets[i + 1]]`.

A page of samples has these columns, n rows each:
    `key`               utf8, the sample's key,
    `shard`             <i4, number in the view's shard table,
    `offset`, `length`  <i8, bytes of the sample's span in that shard,
    `crc32c`            <u4, of that span; 0: nobody has read it, and there is nothing to compare,
    `<part>.offset`, `<part>.length`  <i8, bytes of a part's content in the shard; offset −1: the sample lacks it,
    `task.<id>`         the label: <i4 class position, −1 none; <f8, NaN none; or |i1 (n, classes) 0 or 1, −1 unknown.
A part or task that all samples of a page lack may be left out. In a joined view the partners' columns (all but tasks)
follow with a number before them, `1.key`, `1.shard`, …: `1.shard` −1 where a sample has no partner.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgpack
import numpy as np
import pyarrow as pa

from ropeway.errors import FormatError
from ropeway.samples import Array, Samples, ShardRef

DTYPES = ("<i4", "<i8", "<u4", "<f4", "<f8", "|i1", "|u1")

MEDIA_TYPE = "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"
"""An Arrow IPC stream: columns with nulls."""

_PARTNER = re.compile(r"([1-9][0-9]?)\.(.+)")
_ZSTD = pa.Codec("zstd", compression_level=1)

Columns: TypeAlias = Mapping[str, Array | pa.StringArray]


def pack_columns(columns: Columns, rows: int) -> bytes:
    """Columns of equal length as one page."""
    return bytes(msgpack.packb({"rows": rows, "columns": {name: _pack(c) for name, c in columns.items()}}))


def unpack_columns(page: bytes | memoryview) -> dict[str, Array | pa.StringArray]:
    """The columns of a page; arrays are views of its bytes.

    Raises:
        FormatError: not such a page.
    """
    try:
        body = msgpack.unpackb(page)
        columns = {str(name): _unpack(column) for name, column in body["columns"].items()}
        for name, column in columns.items():
            if len(column) != body["rows"]:
                raise ValueError(f"column {name} has {len(column)} rows, the page {body['rows']}")
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, msgpack.UnpackException) as error:
        raise FormatError(f"not a page of columns: {error!r}") from error
    return columns


def pack_samples(samples: Samples) -> bytes:
    """One page of a view. Shard numbers count in the view's shard table, which travels apart."""
    columns = columns_of(samples)
    for number, partner in enumerate(samples.partners, 1):
        columns |= {f"{number}.{name}": column for name, column in columns_of(partner).items()}
    return pack_columns(columns, len(samples))


def unpack_samples(page: bytes | memoryview, shards: Sequence[ShardRef]) -> Samples:
    """The samples of one page of a view; parts and tasks that the page lacks are missing throughout it.

    Raises:
        FormatError: not such a page, or one of the columns that every sample has is missing.
    """
    sides: dict[int, dict[str, Any]] = {0: {}}
    for name, column in unpack_columns(page).items():
        match = _PARTNER.fullmatch(name)
        number, plain = (int(match[1]), match[2]) if match else (0, name)
        sides.setdefault(number, {})[plain] = column
    whole, *partners = (_samples(sides[number], shards) for number in sorted(sides))
    return replace(whole, partners=tuple(partners))


def columns_of(samples: Samples) -> dict[str, Array | pa.StringArray]:
    """The columns of samples, by their names in a page."""
    columns: dict[str, Array | pa.StringArray] = {
        "key": samples.keys,
        "shard": samples.shard,
        "offset": samples.offset,
        "length": samples.length,
        "crc32c": samples.crc32c,
    }
    for part, (offset, length) in samples.parts.items():
        columns[f"{part}.offset"], columns[f"{part}.length"] = offset, length
    for task, labels in samples.labels.items():
        columns[f"task.{task}"] = labels
    return columns


def _samples(columns: dict[str, Any], shards: Sequence[ShardRef]) -> Samples:
    missing = {"key", "shard", "offset", "length", "crc32c"} - columns.keys()
    if missing:
        raise FormatError(f"not a page of samples: it lacks {', '.join(sorted(missing))}")
    parts = [name.removesuffix(".offset") for name in columns if name.endswith(".offset")]
    return Samples(
        shards=shards,
        shard=columns["shard"],
        offset=columns["offset"],
        length=columns["length"],
        crc32c=columns["crc32c"],
        keys=columns["key"],
        parts={part: (columns[f"{part}.offset"], columns[f"{part}.length"]) for part in parts},
        labels={name.removeprefix("task."): values for name, values in columns.items() if name.startswith("task.")},
    )


def arrow_samples(page: bytes) -> bytes:
    """A page as an Arrow IPC stream: the same columns; of two dimensions as lists of fixed size."""
    columns = unpack_columns(page)
    arrays = {name: _arrow(column) for name, column in columns.items()}
    table = pa.table(arrays)
    return arrow_stream(table)


def arrow_stream(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def compressed(page: bytes) -> bytes:
    """Content as one zstd frame (RFC 8878)."""
    return bytes(_ZSTD.compress(page))


def decompressed(frames: bytes) -> bytes:
    """The content of zstd frames.

    Raises:
        FormatError: they are damaged.
    """
    try:
        return bytes(pa.input_stream(pa.py_buffer(frames), compression="zstd").read())
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"not zstd: {error}") from error


def _arrow(column: Array | pa.StringArray) -> pa.Array:
    if isinstance(column, pa.StringArray) or column.ndim == 1:
        return pa.array(column)
    return pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), column.shape[1])


def _pack(column: Array | pa.StringArray) -> dict[str, object]:
    if isinstance(column, pa.StringArray):
        return _pack_strings(column)
    little = column.astype(column.dtype.newbyteorder("<"), copy=False)
    return {"dtype": little.dtype.str, "shape": list(little.shape), "data": little.tobytes()}


def _pack_strings(column: Any) -> dict[str, object]:
    offsets, data = np.zeros(1, "<i4"), b""
    if len(column):
        _, ends, text = column.buffers()
        offsets = np.frombuffer(ends, "<i4")[column.offset : column.offset + len(column) + 1]
        data = bytes(memoryview(text or b"")[offsets[0] : offsets[-1]])
    return {"dtype": "utf8", "shape": [len(column)], "offsets": (offsets - offsets[0]).tobytes(), "data": data}


def _unpack(column: Mapping[str, Any]) -> Array | pa.StringArray:
    if column["dtype"] == "utf8":
        buffers = [None, pa.py_buffer(column["offsets"]), pa.py_buffer(column["data"])]
        (rows,) = column["shape"]
        if len(column["offsets"]) != 4 * (rows + 1):
            raise ValueError(f"{len(column['offsets'])} bytes of offsets for {rows} strings")
        strings = pa.Array.from_buffers(pa.string(), rows, buffers)
        strings.validate(full=True)
        return strings
    if column["dtype"] not in DTYPES:
        raise ValueError(f"no element type {column['dtype']!r}")
    return np.frombuffer(column["data"], np.dtype(column["dtype"])).reshape(column["shape"])
