"""Where the parts of a single NIfTI file (.nii) lie: its header, and its voxels."""

import math
import struct

SIZES = (348, 540)
"""Bytes of the headers of NIfTI-1 and NIfTI-2, with which these begin (nifti1.h, nifti2.h of the NIfTI standard)."""
HEAD = SIZES[-1] + 4
"""Bytes that are enough for either: after a header, four bytes tell whether extensions follow."""


def voxels_start(content: bytes | bytearray) -> tuple[int, int]:
    """Where the header ends, and where the voxels begin (bytes), from the first `HEAD` bytes or more.

    Raises:
        ValueError: it is not a single NIfTI file.
    """
    order, size = next(
        ((order, size) for order in "<>" for size in SIZES if content[:4] == struct.pack(f"{order}i", size)), ("", 0)
    )
    if not size or len(content) < size + 4:
        raise ValueError("not a single NIfTI file, or cut short")
    form, place = ("f", 108) if size == SIZES[0] else ("q", 168)
    start = struct.unpack_from(f"{order}{form}", content, place)[0]
    if not math.isfinite(start) or start < size:
        raise ValueError("a NIfTI file whose voxels do not lie in it")
    return size, int(start)
