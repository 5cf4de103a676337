"""Files that are no stretch of a shard: their content is made here."""

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO, TypeAlias

from ropeway.mount.stretches import Stretch


@dataclass(frozen=True, slots=True)
class Text:
    """A small file in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]


class Spooled:
    """A file in the system's temporary folder, without a name: it is gone with the process.

    Args:
        write: writes its content.
    """

    def __init__(self, write: Callable[[BinaryIO], object]) -> None:
        self._handle, name = mkstemp(prefix="ropeway-mount-")
        weakref.finalize(self, os.close, self._handle)
        Path(name).unlink()
        with open(self._handle, "wb", closefd=False) as file:
            write(file)
        self.size = os.fstat(self._handle).st_size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._handle, size, offset)


File: TypeAlias = Stretch | Text | Spooled
"""A file of the tree: `size` in bytes, and `read(offset, size)`, which gives fewer bytes at the file's end. Its content
never changes."""
