"""The header of a MetaImage file: lines `Key = Value`, of which the last one says where the data are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ropeway_shardgen.formats.geometry import from_lps

_LONGEST = 1 << 16
"""Bytes of a header. Real ones have less than one KiB."""
_DEFLATE = 1032
"""Times that deflate can shrink at best (https://zlib.net/zlib_tech.html): what says more is not believed."""
_DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
SPACING = ("ElementSpacing", "ElementSize")
ORIGIN = ("Offset", "Position", "Origin")
DIRECTION = ("TransformMatrix", "Rotation", "Orientation")
BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is needed to read and place the voxels.

    Attributes:
        shape: of the array: slices first, then rows, then columns[, then channels].
        dimensions: axes of the array without the channels.
        spacing: mm, along a row first.
        affine: array index → mm (RAS), of a volume; identity for anything else.
        data: the file that holds the voxels; the header's own for .mha.
        offset: where they start in it (bytes); negative: as many as needed at its end.
    """

    shape: tuple[int, ...]
    dimensions: int
    channels: int
    dtype: np.dtype[np.generic]
    compressed: bool
    spacing: tuple[float, ...]
    affine: npt.NDArray[np.float64]
    data: Path
    offset: int

    @property
    def slice_bytes(self) -> int:
        """Bytes of one step along the first axis."""
        size = self.dtype.itemsize
        for side in self.shape[1:]:
            size *= side
        return size

    @property
    def bytes(self) -> int:
        """Bytes of all voxels."""
        return self.shape[0] * self.slice_bytes


def read_header(path: Path) -> Header:
    """The header of a .mhd or .mha file.

    Raises:
        ValueError: it is not one, or of a kind that is not read (several data files, text, other types of voxels).
    """
    words, end = header_words(path)
    sides = [int(side) for side in _numbers(words, "DimSize")]
    if not 2 <= len(sides) <= 4 or any(side < 1 for side in sides) or words.get("NDims") != str(len(sides)):
        raise ValueError(f"not a MetaImage of 2 to 4 dimensions: DimSize = {words.get('DimSize')!r}")
    if words.get("BinaryData", "True").lower() != "true":
        raise ValueError("a MetaImage whose voxels are text")
    channels = int(words.get("ElementNumberOfChannels", "1"))
    dtype = _dtype(words)
    data, offset = _data(path, words, end)
    spacing = _numbers(words, *SPACING) or (1.0,) * len(sides)
    return Header(
        shape=(*reversed(sides), *((channels,) if channels > 1 else ())),
        dimensions=len(sides),
        channels=channels,
        dtype=dtype,
        compressed=words.get("CompressedData", "False").lower() == "true",
        spacing=_of_length("spacing", spacing, len(sides)),
        affine=_affine(words, spacing) if len(sides) == 3 else np.eye(4),
        data=data,
        offset=offset,
    )


def first_byte(header: Header) -> int:
    """Where the voxels of a file that is not compressed start (bytes).

    Raises:
        ValueError: the file does not hold them all.
    """
    length = header.data.stat().st_size
    start = length - header.bytes if header.offset < 0 else header.offset
    if start < 0 or start + header.bytes > length:
        raise ValueError(f"{header.data.name} is cut short: {length} bytes, {max(start, 0) + header.bytes} are needed")
    return start


def check_stream(header: Header) -> None:
    """Refuse a compressed file that says it holds more than it can.

    Raises:
        ValueError: it does.
    """
    length = header.data.stat().st_size
    if header.bytes > length * _DEFLATE:
        raise ValueError(f"{header.data.name} cannot hold {header.bytes} bytes: it has {length}")


def header_words(path: Path) -> tuple[dict[str, str], int]:
    """The header's keys and values, and where it ends (bytes)."""
    with path.open("rb") as file:
        content = file.read(_LONGEST)
    found: dict[str, str] = {}
    at = 0
    while "ElementDataFile" not in found:
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        key, equals, value = content[at:end].decode("latin-1").partition("=")
        if not equals:
            raise ValueError("not a MetaImage header, or one that is cut short: there is no ElementDataFile")
        found[key.strip()] = value.strip()
        at = end + 1
    return found, at


def _dtype(words: dict[str, str]) -> np.dtype[np.generic]:
    name = words.get("ElementType", "")
    if name not in _DTYPES:
        raise ValueError(f"voxels of type {name!r}; read are: {', '.join(_DTYPES)}")
    big = any(words.get(key, "False").lower() == "true" for key in BIG_ENDIAN)
    return np.dtype(_DTYPES[name]).newbyteorder(">" if big else "<")


def _data(path: Path, words: dict[str, str], end: int) -> tuple[Path, int]:
    name = words["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, end
    if name.upper() == "LIST" or "%" in name:
        raise ValueError("a MetaImage in several data files")
    if not name or Path(name).name != name:
        raise ValueError(f"its data file {name!r} does not lie beside it")
    return path.with_name(name), int(words.get("HeaderSize", "0"))


def _affine(words: dict[str, str], spacing: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Index (slice, row, column) → mm. MetaImage's own order is (column, row, slice), one row of its matrix each."""
    origin = _numbers(words, *ORIGIN) or (0.0, 0.0, 0.0)
    directions = _numbers(words, *DIRECTION) or tuple(np.eye(3).ravel().tolist())
    steps = np.array(_of_length("direction", directions, 9)).reshape(3, 3) * np.array(spacing)[:, None]
    return from_lps(steps[::-1].T, np.array(_of_length("origin", origin, 3)))


def _numbers(words: dict[str, str], *keys: str) -> tuple[float, ...]:
    """The numbers of the first of these keys that the header has; none where it has none of them."""
    for key in keys:
        if key in words:
            try:
                return tuple(float(word) for word in words[key].split())
            except ValueError:
                raise ValueError(f"{key} = {words[key]!r}: not numbers") from None
    return ()


def _of_length(what: str, numbers: tuple[float, ...], length: int) -> tuple[float, ...]:
    if len(numbers) != length or not np.isfinite(numbers).all():
        raise ValueError(f"the {what} has {len(numbers)} numbers, {length} are needed")
    return numbers
