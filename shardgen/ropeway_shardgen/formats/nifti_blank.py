"""The original NIfTI file with the free text of its header blanked and its header extensions zeroed."""

import gzip
from pathlib import Path
from typing import IO, cast

from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import bounded
from ropeway_shardgen.formats.nifti_header import voxels_start

_TEXTS = {
    348: ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16)),
    540: ((240, 80), (320, 24), (508, 16)),
}
"""Header size → place and length of its texts: NIfTI-1 data_type, db_name, descrip, aux_file, intent_name; NIfTI-2 the
last three (nifti1.h, nifti2.h of the NIfTI standard)."""


def kept(path: Path, _key: bytes) -> Payload:
    """The file without text; a gzipped one is compressed anew, without name and time.

    Raises:
        ValueError: it is not a single NIfTI file (.nii or .nii.gz), or is cut short.
    """
    content = bytearray(path.read_bytes())
    packed = content[:2] == b"\x1f\x8b"
    if packed:
        try:
            with gzip.open(path) as file:
                content = bytearray(bounded.whole(cast("IO[bytes]", file), bounded.LARGEST_ARRAY))
        except EOFError as error:
            raise ValueError("a gzip file cut short") from error
    _blank(content)
    plain = bytes(content)
    if packed:
        return Payload(content=gzip.compress(plain, mtime=0), format="nii.gz")
    return Payload(content=plain, format="nii")


def _blank(content: bytearray) -> None:
    size, start = voxels_start(content)
    if start > len(content):
        raise ValueError("a NIfTI file whose voxels do not lie in it")
    for at, length in _TEXTS[size]:
        content[at : at + length] = bytes(length)
    content[size:start] = bytes(start - size)
