"""MDS, the shards of mosaicml-streaming 0.13 (its streaming/base/format/mds). Nothing is unpickled.

`index.json` names each shard's columns, their encodings and, where it is fixed, their size; a row holds the sizes of
the others, then the columns.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ropeway.decoders.libraries import damage
from ropeway_shardgen.formats.columns import (
    Array,
    Cell,
    Decode,
    Runs,
    beside,
    json,
    number,
    pieces,
    shaped,
    sizes,
    utf8,
)

_NUMBERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
_DECODE: dict[str, Decode] = {
    "bytes": bytes, "jpeg": bytes, "png": bytes, "str": utf8, "json": json, "int": number("<i8"),
    "str_int": lambda content: int(utf8(content)), "str_float": lambda content: float(utf8(content)),
    **{name: number(np.dtype(name).newbyteorder("<").str) for name in _NUMBERS},
}  # fmt: skip

_DTYPES = {8: "u1", 9: "i1", 16: "<u2", 17: "<i2", 18: "<f2", 32: "<u4", 33: "<i4", 34: "<f4", 64: "<u8", 65: "<i8",
           66: "<f8"}  # fmt: skip
"""Of an array whose dtype is not fixed: its first byte."""

_SIZES = ("u1", "<u2", "<u4", "<u8")
"""Of an array whose shape is not fixed: the two lowest bits of a byte say how its dimensions are stored; the others how
many there are."""


class MdsFile:
    """One shard. `names` are its columns.

    Raises:
        ValueError: it is compressed, cut short, or not described in `index.json`.
        UsageError: there is no `index.json` beside it.
    """

    def __init__(self, path: Path) -> None:
        told = _described(path)
        self.names: tuple[str, ...] = tuple(told["column_names"])
        self._sizes: list[int | None] = told["column_sizes"]
        self._encodings = dict(zip(self.names, told["column_encodings"], strict=True))
        self._runs = Runs(path)
        if len(self._runs) != told["samples"]:
            self.close()
            raise ValueError(f"{path.name} has {len(self._runs)} samples, index.json says {told['samples']}")

    def __len__(self) -> int:
        return len(self._runs)

    def cell(self, row: int, name: str) -> Cell:
        if name not in self.names:
            raise ValueError(f"there is no column {name!r}; there is: {', '.join(self.names)}")
        run = self._runs.run(row)
        open_ones = iter(sizes(run, sum(not size for size in self._sizes)))
        contents = pieces(run, [size or next(open_ones) for size in self._sizes])
        decode = _decoder(name, self._encodings[name])
        with damage():
            return decode(contents[self.names.index(name)])

    def close(self) -> None:
        """Let go of the file."""
        self._runs.close()


def _described(path: Path) -> dict[str, Any]:
    shards = beside(path, "index.json").get("shards", [])
    for shard in shards:
        if shard.get("compression"):
            raise ValueError(f"the shards are compressed with {shard['compression']}: write them without compression")
        if shard.get("format") == "mds" and shard.get("version") == 2 and shard["raw_data"]["basename"] == path.name:
            return dict(shard)
    raise ValueError(f"index.json describes no MDS shard {path.name} of version 2")


def _decoder(name: str, encoding: str) -> Decode:
    kind, _, rest = encoding.partition(":")
    if kind == "ndarray":
        dtype, _, shape = rest.partition(":")
        return partial(_array, dtype=dtype, shape=tuple(int(size) for size in shape.split(",")) if shape else None)
    if kind not in _DECODE:
        why = "it would have to be unpickled, which is never done" if kind == "pkl" else "that is not taken"
        raise ValueError(f"column {name!r} is encoded as {encoding}: {why}")
    return _DECODE[kind]


def _array(content: bytes, *, dtype: str, shape: tuple[int, ...] | None) -> Array:
    at = 0
    if not dtype:
        dtype, at = _DTYPES[content[0]], 1
    if shape is None:
        stored = np.dtype(_SIZES[content[at] & 3])
        count, at = content[at] >> 2, at + 1
        shape = tuple(np.frombuffer(content, stored, count, at).tolist())
        at += count * stored.itemsize
    return shaped(content[at:], np.dtype(dtype).newbyteorder("<").str, shape)
