"""Decoders: the content of a part as an array or a plain object. Nothing is ever unpickled."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

import msgpack
import numpy as np

from ropeway.errors import UsageError
from ropeway.samples import Array

Decode: TypeAlias = Callable[[memoryview], Any]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How a part's content is decoded. `heavy` decoders are worth a thread of their own; the others take microseconds.

    Attributes:
        decode: content → array (any dtype and shape) or a plain object; raises ValueError or OSError on bad content.
        heavy: whether samples are decoded in parallel.
    """

    decode: Decode
    heavy: bool = False


def decode_npy(content: memoryview) -> Array:
    """A NumPy array file as a read-only view of `content`. Object arrays are refused."""
    if bytes(content[:6]) != b"\x93NUMPY":
        raise ValueError("not an npy file")
    wide = content[6] > 1
    start = 12 if wide else 10
    stop = start + int.from_bytes(content[8:start], "little")
    dtype, fortran, shape = _npy_header(bytes(content[:stop]))
    flat = np.frombuffer(content, dtype, offset=stop, count=int(np.prod(shape)))
    return flat.reshape(shape, order="F" if fortran else "C")


@lru_cache(maxsize=4096)
def _npy_header(head: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    file = io.BytesIO(head)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an npy file of Python objects would have to be unpickled, which is never done")
    return dtype, fortran, shape


def decode_npz(content: memoryview) -> dict[str, Array]:
    """A zip of plain arrays."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def decode_image(content: memoryview) -> Array:
    """A picture as stored: uint8 or uint16, (height, width) when grey, else (height, width, channels)."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture)


def decode_json(content: memoryview) -> Any:
    """Any JSON value."""
    return json.loads(bytes(content))


def decode_text(content: memoryview) -> str:
    """UTF-8 text."""
    return str(content, "utf-8")


def decode_msgpack(content: memoryview) -> Any:
    """Any msgpack value."""
    return msgpack.unpackb(content)


def as_bytes(content: memoryview) -> bytes:
    """The content as it is: for formats decoded elsewhere."""
    return bytes(content)


DECODERS: Mapping[str, Decoder] = MappingProxyType(
    {
        "npy": Decoder(decode_npy),
        "npz": Decoder(decode_npz, heavy=True),
        "json": Decoder(decode_json),
        "txt": Decoder(decode_text),
        "msgpack": Decoder(decode_msgpack),
        **dict.fromkeys(("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp"), Decoder(decode_image, heavy=True)),
    }
)
"""By format. A loader's `decoders={"dcm": …}` adds to or replaces these, by format or by part name."""


def find(part: str, form: str, own: Mapping[str, Decoder | Decode]) -> Decoder:
    """The decoder of a part: the caller's own by part name or format, else the built-in one.

    Raises:
        UsageError: there is none; the message says how to give one.
    """
    found = own.get(part) or own.get(form) or DECODERS.get(form)
    if found is None:
        raise UsageError(f"no decoder for part {part!r} of format {form!r}: give one with decoders={{{form!r}: …}}, "
                         "or ropeway.decode.as_bytes for its bytes")  # fmt: skip
    return found if isinstance(found, Decoder) else Decoder(found, heavy=True)
