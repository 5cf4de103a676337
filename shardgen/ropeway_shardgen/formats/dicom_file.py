"""DICOM files, opened so that none takes more memory than its size allows."""

import zlib
from pathlib import Path
from typing import IO, Any

from ropeway.decoders.libraries import require

_FREE = 64 << 20
_RATIO = 4096
"""A file may hold this many bytes of pixels whatever its size, and beyond that so many per byte of it: more than any
image that is not blank compresses to."""
_DENSEST = 64
"""Bytes that a byte of a deflated file may become beyond that. A larger one is nearly all blank, or made to harm."""
_DEFLATED = b"1.2.840.10008.1.2.1.99"
"""The one transfer syntax whose whole data set is compressed (PS3.5, A.5)."""
_HEAD = 1 << 14
_READ = 1 << 20


def opened(path: Path, *, pixels: bool = True) -> Any:
    """A data set of pydicom; without `pixels`, only what lies before them.

    Raises:
        ValueError: it is deflated, and unpacks to more than a file of its size may hold.
        pydicom.errors.InvalidDicomError: it is not DICOM.
    """
    pydicom = require("pydicom", "dicom")
    with path.open("rb") as file:
        if _DEFLATED in file.read(_HEAD):
            _check_deflated(pydicom, file, path.stat().st_size)
    return pydicom.dcmread(path, stop_before_pixels=not pixels)


def check_size(dataset: Any, size: int) -> None:
    """Refuse a header that promises more pixels than a file of `size` bytes may hold.

    Raises:
        ValueError: it does.
    """
    promised = decoded_bytes(dataset)
    if promised > _FREE + _RATIO * size:
        raise ValueError(f"a header of {promised} bytes of pixels in a file of {size} bytes: damaged")


def decoded_bytes(dataset: Any) -> int:
    """Bytes of all pixels, by the header."""
    sides = [int(dataset.get(tag) or 1) for tag in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")]
    bits = int(dataset.get("BitsAllocated") or 8)
    size = max(1, bits // 8)
    for side in sides:
        size *= side
    return size


def _check_deflated(pydicom: Any, file: IO[bytes], size: int) -> None:
    file.seek(0)
    pydicom.filereader.read_preamble(file, force=False)
    pydicom.filereader.read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    unpacker, found = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while packed := unpacker.unconsumed_tail or file.read(_READ):
        try:
            found += len(unpacker.decompress(packed, _READ))
        except zlib.error as error:
            raise ValueError(f"deflated, and damaged: {error}") from error
        if found > _FREE + _DENSEST * size:
            raise ValueError(f"deflated, and more than {found} bytes in a file of {size}: damaged")
        if unpacker.eof:
            return
