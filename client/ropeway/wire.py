"""Columns on the wire: msgpack that any language reads.

A page is a msgpack map: `{"rows": n, "columns": {name: column}}`. A column is a map with
    `dtype`   NumPy's name for the element type, little-endian: `<i4 <i8 <u4 <f4 <f8 |i1 |u1`, or `utf8`,
    `shape`   list of dimensions, the first is `rows`,
    `data`    raw little-endian elements in C order; for `utf8` the concatenated UTF-8 bytes,
    `offsets` only for `utf8`: raw `<i4`, rows + 1 of them; string i is `data[offsets[i]:offsets[i + 1]]`.
"""

from collections.abc import Mapping
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
    return pack_columns(columns, len(samples))


def unpack_samples(page: bytes | memoryview, shards: tuple[ShardRef, ...]) -> Samples:
    """The samples of one page of a view.

    Raises:
        FormatError: not such a page, or one of the columns that every sample has is missing.
    """
    columns: Any = unpack_columns(page)
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
