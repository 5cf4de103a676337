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

MEDIA_TYPE = "application/msgpack"

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
        return {name: _unpack(column) for name, column in body["columns"].items()}
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise FormatError(f"not a page of columns: {error}") from error


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
    """The samples of one page of a view."""
    columns: Any = unpack_columns(page)
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
        offsets = np.frombuffer(column.buffers()[1], "<i4")[column.offset : column.offset + len(column) + 1]
        start, stop = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
        data = bytes(memoryview(column.buffers()[2] or b"")[start:stop])
        return {"dtype": "utf8", "shape": [len(column)], "offsets": (offsets - start).tobytes(), "data": data}
    little = column.astype(column.dtype.newbyteorder("<"), copy=False)
    return {"dtype": little.dtype.str, "shape": list(little.shape), "data": little.tobytes()}


def _unpack(column: Mapping[str, Any]) -> Array | pa.StringArray:
    if column["dtype"] == "utf8":
        buffers = [None, pa.py_buffer(column["offsets"]), pa.py_buffer(column["data"])]
        strings = pa.Array.from_buffers(pa.string(), column["shape"][0], buffers)
        strings.validate(full=True)
        return strings
    return np.frombuffer(column["data"], np.dtype(column["dtype"])).reshape(column["shape"])
