"""The original NIfTI file with the free text of its header blanked and its header extensions zeroed."""

import gzip
import struct
from pathlib import Path

from ropeway_shardgen.adapters.adapter import Payload

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
            content = bytearray(gzip.decompress(content))
        except EOFError as error:
            raise ValueError("a gzip file cut short") from error
    _blank(content)
    plain = bytes(content)
    if packed:
        return Payload(content=gzip.compress(plain, mtime=0), format="nii.gz")
    return Payload(content=plain, format="nii")


def _blank(content: bytearray) -> None:
    order, size = next(
        ((order, size) for order in "<>" for size in _TEXTS if content[:4] == struct.pack(f"{order}i", size)), ("", 0)
    )
    if not size or len(content) < size + 4:
        raise ValueError("not a single NIfTI file")
    form, place = ("f", 108) if size == 348 else ("q", 168)
    start = int(struct.unpack_from(f"{order}{form}", content, place)[0])
    if not size <= start <= len(content):
        raise ValueError("a NIfTI file whose voxels do not lie in it")
    for at, length in _TEXTS[size]:
        content[at : at + length] = bytes(length)
    content[size:start] = bytes(start - size)
