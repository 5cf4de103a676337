"""The `.bin` files of litdata 0.2 (litdata/streaming: item_loader.py, serializers.py). Nothing is unpickled.

`index.json` says how each value of a sample is encoded, in order, and what they are called; a row holds the values'
sizes, then the values.
"""

import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

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

_DECODE: dict[str, Decode] = {
    "bytes": bytes, "jpeg": bytes, "str": utf8, "json": json, "int": number("<i8"), "float": number("<f8"),
    "bool": lambda content: content != b"\0",
}  # fmt: skip

_NUMPY = ("i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16", "?")
_TORCH = ("<f4", "<f4", "<f8", "<f8", "<c8", "<c8", "<c16", "<c16", "<f2", "<f2", "", "u1", "i1", "<i2", "<i2", "<i4",
          "<i4", "<i8", "<i8", "?", "<u2")  # fmt: skip
"""dtypes by number (litdata/constants.py); bfloat16 has none in NumPy."""


class LitdataFile:
    """One file. `names` are a dict's keys, or the positions of a tuple's values.

    Raises:
        ValueError: it is compressed or encrypted, cut short, or its samples are nested.
        UsageError: there is no `index.json` beside it.
    """

    def __init__(self, path: Path) -> None:
        config = beside(path, "index.json").get("config") or {}
        for how in ("compression", "encryption", "ipc_compression"):
            if config.get(how):
                raise ValueError(f"the files have {how} ({config[how]}): optimize() them again without")
        self._formats: list[str] = config["data_format"]
        self.names = _names(config["data_spec"], len(self._formats))
        self._runs = Runs(path)

    def __len__(self) -> int:
        return len(self._runs)

    def cell(self, row: int, name: str) -> Cell:
        if name not in self.names:
            raise ValueError(f"there is no column {name!r}; there is: {', '.join(self.names)}")
        run = self._runs.run(row)
        contents = pieces(run, sizes(run, len(self.names)))
        place = self.names.index(name)
        decode = _decoder(name, self._formats[place])
        with damage():
            return decode(contents[place])

    def close(self) -> None:
        """Let go of the file."""
        self._runs.close()


def _names(spec: str, count: int) -> tuple[str, ...]:
    """What the values of a sample are called: a tree of torch's pytree, in JSON, of which one level is taken."""
    _, tree = msgspec.json.decode(spec)
    children: Sequence[dict[str, Any]] = tree["children_spec"]
    if tree["type"] is None:
        return ("0",)
    if len(children) != count or any(child["children_spec"] for child in children):
        raise ValueError("the samples are nested: optimize() them again as flat dicts")
    if tree["type"] == "builtins.dict":
        return tuple(map(str, msgspec.json.decode(tree["context"])))
    return tuple(map(str, range(count)))


def _decoder(name: str, form: str) -> Decode:
    kind, _, rest = form.partition(":")
    match kind:
        case "numpy":
            return partial(_array, order="<", dtypes=_NUMPY)
        case "tensor":
            return partial(_array, order=">", dtypes=_TORCH)
        case "no_header_numpy" | "no_header_tensor":
            dtype = _dtype(int(rest), _NUMPY if kind == "no_header_numpy" else _TORCH)
            return lambda content: shaped(content, dtype, (-1,))
    if kind not in _DECODE:
        why = "it would have to be unpickled, which is never done" if kind == "pickle" else "that is not taken"
        raise ValueError(f"column {name!r} is encoded as {form}: {why}")
    return _DECODE[kind]


def _array(content: bytes, *, order: str, dtypes: Sequence[str]) -> Array:
    """An array behind its dtype's number, its number of axes and their lengths (32 bits each)."""
    dtype, axes = struct.unpack_from(f"{order}2I", content)
    shape = struct.unpack_from(f"{order}{axes}I", content, 8)
    return shaped(content[8 + 4 * axes :], _dtype(dtype, dtypes), shape)


def _dtype(number: int, dtypes: Sequence[str]) -> str:
    if number >= len(dtypes) or not dtypes[number]:
        raise ValueError(f"dtype {number} of litdata is not one of plain numbers")
    return dtypes[number]
