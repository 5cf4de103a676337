"""Where the parts of a single NIfTI file (.nii) lie: its header, and its voxels."""

import math
import struct

SIZES = (348, 540)
"""Bytes of the headers of NIfTI-1 and NIfTI-2, with which these begin (nifti1.h, nifti2.h of the NIfTI standard)."""
HEAD = SIZES[-1] + 4
"""Bytes that are enough for either: after a header, four bytes tell whether extensions follow."""


_BYTES = {
    2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1792: 16, 2304: 4,
}  # fmt: skip
"""Type of voxels (nifti1.h) → bytes of one."""


def voxels_start(content: bytes | bytearray) -> tuple[int, int]:
    """Where the header ends, and where the voxels begin (bytes), from the first `HEAD` bytes or more.

    Raises:
        ValueError: it is not a single NIfTI file.
    """
    order, size = _order(content)
    form, place = ("f", 108) if size == SIZES[0] else ("q", 168)
    start = struct.unpack_from(f"{order}{form}", content, place)[0]
    if not math.isfinite(start) or start < size:
        raise ValueError("a NIfTI file whose voxels do not lie in it")
    return size, int(start)


def voxels_bytes(content: bytes | bytearray) -> int:
    """Bytes of all voxels, from the first `HEAD` bytes or more.

    Raises:
        ValueError: it is not a single NIfTI file, has no voxels, or some of a type that is not kept.
    """
    order, size = _order(content)
    form, sides_at, type_at = ("h", 40, 70) if size == SIZES[0] else ("q", 16, 12)
    number, *sides = struct.unpack_from(f"{order}8{form}", content, sides_at)
    kind = struct.unpack_from(f"{order}h", content, type_at)[0]
    if not 1 <= number <= 7 or min(sides[:number]) < 1 or kind not in _BYTES:
        raise ValueError(f"a NIfTI file of {number} axes, with voxels of type {kind}")
    return int(math.prod(sides[:number])) * _BYTES[kind]


def _order(content: bytes | bytearray) -> tuple[str, int]:
    """Byte order and size of the header."""
    order, size = next(
        ((order, size) for order in "<>" for size in SIZES if content[:4] == struct.pack(f"{order}i", size)), ("", 0)
    )
    if not size or len(content) < size + 4:
        raise ValueError("not a single NIfTI file, or cut short")
    return order, size
