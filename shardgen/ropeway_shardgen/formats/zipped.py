"""A zip of a few files whose bytes depend on nothing but them: no times, no compression."""

import io
import zipfile
from collections.abc import Iterable

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip can tell."""
_UNIX = 3
_READABLE = 0o100644 << 16
"""What a file is on Unix: without it `unzip` makes files that nobody may read."""


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """The files, names and contents in order, as a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX  # else that of the machine
            entry.external_attr = _READABLE
            archive.writestr(entry, content)
    return file.getvalue()
