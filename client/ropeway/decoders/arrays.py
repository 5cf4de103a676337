"""NumPy's own files: npy and npz. Object arrays are refused, as they would have to be unpickled."""

import io
import tokenize
import zipfile
from functools import lru_cache
from typing import BinaryIO

import numpy as np

from ropeway.decoders.layout import Layout, read_exactly
from ropeway.decoders.libraries import damage
from ropeway.samples import Array

_HEAD = 128
"""Bytes of nearly every npy header."""


def decode_npy(content: memoryview) -> Array:
    """A NumPy array file as a read-only view of `content`. Object arrays are refused."""
    return _layout(bytes(content[: _head_size(content[:12])])).whole(content)


def decode_npy_into(content: memoryview, target: Array) -> None:
    """A NumPy array file into an array of its shape and dtype (of any byte order)."""
    copy_into(decode_npy(content), target)


def copy_into(array: Array, target: Array) -> None:
    """Copy into an array of the same shape and dtype.

    Raises:
        ValueError: shape or dtype (but for byte order) differs.
    """
    if (array.shape, array.dtype.newbyteorder("=")) != (target.shape, target.dtype.newbyteorder("=")):
        raise ValueError(f"{array.dtype} of shape {array.shape} where {target.dtype} of shape {target.shape} is due")
    np.copyto(target, array)


def npy_layout(file: BinaryIO) -> Layout:
    """Where a file's array lies, from its header alone."""
    file.seek(0)
    head = file.read(_HEAD)
    size = _head_size(memoryview(head))
    return _layout(head[:size] if size <= len(head) else head + read_exactly(file, len(head), size - len(head)))


def decode_npz(content: memoryview) -> dict[str, Array]:
    """A zip of plain arrays, by name."""
    with damage(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {
            name.removesuffix(".npy"): decode_npy(memoryview(archive.read(name))).copy() for name in archive.namelist()
        }


def _head_size(begin: memoryview) -> int:
    """Bytes of a file's header, from its first 12 bytes."""
    if len(begin) < 12 or bytes(begin[:6]) != b"\x93NUMPY":
        raise ValueError("not an npy file")
    start = 12 if begin[6] > 1 else 10
    return start + int.from_bytes(begin[8:start], "little")


@lru_cache(maxsize=4096)
def _layout(head: bytes) -> Layout:
    file = io.BytesIO(head)
    with damage(tokenize.TokenError):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an npy file of Python objects would have to be unpickled, which is never done")
    return Layout(len(head), dtype, shape, fortran)
