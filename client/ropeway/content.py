"""What a sample holds, as one number: samples of equal content have equal numbers, whatever their keys and datasets.

The number is a CRC-64/NVME (the polynomial of NVM Express, which S3 checks uploads with): one pair of different
contents in 2⁶⁴ agrees by chance, and it costs next to nothing while packing (35 GB/s a core). It tells equal bytes
only: one picture in two encodings is two contents.
"""

import struct
from collections.abc import Callable, Iterable, Mapping

from awscrt import checksums

from ropeway.manifest import Kind, Task

RAW = "_raw"
"""Ends the name of a part that holds the original file of another part, as `ecg_raw` does for `ecg`."""

_PACKED = struct.Struct("<QQ")
_crc64: Callable[..., int] = checksums.crc64nvme


def compared(kinds: Mapping[str, Kind], tasks: Iterable[Task]) -> dict[str, Kind]:
    """Of a dataset's parts and their kinds, those by which samples are compared.

    Not tables (two patients may well have the same few covariates), not the targets of tasks (many masks are empty),
    not the original files kept beside a part.
    """
    left_out = {f"{name}{RAW}" for name in kinds} | {task.target for task in tasks}
    return {name: kind for name, kind in kinds.items() if kind != "table" and name not in left_out}


def content_number(contents: Mapping[str, bytes | memoryview], kinds: Mapping[str, Kind]) -> int | None:
    """The number of a sample's content, signed 64 bits; None where it has nothing to compare.

    Text counts only where a sample has nothing else: many reports read alike. Names of parts do not count, so that the
    same picture is found under another name in another dataset.

    Args:
        contents: part → its bytes.
        kinds: the parts to compare, with their kinds, as from `compared`.
    """
    chosen = [content for part, content in contents.items() if kinds.get(part, "text") != "text"]
    chosen = chosen or [content for part, content in contents.items() if part in kinds]
    if not chosen:
        return None
    number = 0
    for crc, size in sorted([(_crc64(content), memoryview(content).nbytes) for content in chosen]):
        number = _crc64(_PACKED.pack(crc, size), number)
    return number - (number >> 63 << 64)
