"""The original NIfTI file up to its last voxel, with the free text and unused fields of its header blanked, and its
header extensions zeroed.
"""

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

from ropeway.decoders.libraries import damage
from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.formats.nifti_header import voxels_bytes, voxels_start

_BLANK = {
    348: ((4, 34), (140, 8), (148, 80), (228, 24), (328, 16)),
    540: ((240, 80), (320, 24), (508, 16), (525, 15)),
}
"""Header size → place and length of its texts and of what is no longer used: NIfTI-1 data_type to session_error, glmax
and glmin, descrip, aux_file, intent_name; NIfTI-2 the last three and unused_str (nifti1.h, nifti2.h)."""
_LEVEL = 4
"""Of zlib: 50 MB a second of noisy voxels, 9 only 4; the sizes differ by one in a hundred, either way."""
_GZIP = 31
"""What zlib calls a stream with gzip's own head and end; it writes neither name nor time."""


def kept(path: Path, _key: bytes) -> Payload:
    """The file without text; a gzipped one is compressed anew, without name and time.

    Raises:
        ValueError: it is not a single NIfTI file (.nii or .nii.gz), or is cut short.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    content = _content(path, packed)
    size, start = voxels_start(content)
    stop = start + voxels_bytes(content)
    if stop > len(content):
        raise ValueError(f"a NIfTI file whose voxels do not lie in it, or cut short: {stop} bytes are needed")
    pieces: list[bytes | memoryview] = [_blanked(content[:start], size), memoryview(content)[start:stop]]
    if not packed:
        return Payload(content=b"".join(pieces), format="nii")
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    packed_pieces = [packer.compress(piece) for piece in pieces]
    return Payload(content=b"".join([*packed_pieces, packer.flush()]), format="nii.gz")


def _content(path: Path, packed: bool) -> bytes:
    if not packed:
        bounded.check_array(path.stat().st_size)
        return path.read_bytes()
    with damage(gzip.BadGzipFile), gzip.open(path) as file:
        try:
            return bounded.whole(cast("IO[bytes]", file), bounded.LARGEST_ARRAY)
        except EOFError as error:
            raise ValueError("a gzip file cut short") from error


def _blanked(head: bytes, size: int) -> bytes:
    """All that stands before the voxels, of which the header is the first `size` bytes."""
    content = bytearray(head)
    for at, length in _BLANK[size]:
        content[at : at + length] = bytes(length)
    content[size:] = bytes(len(head) - size)
    return bytes(content)
