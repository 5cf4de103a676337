"""A tree as a file system: what FUSE asks, answered. Called from many threads at once."""

import ctypes
import errno
import itertools
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ropeway.buffers import address
from ropeway.errors import AccessDenied, NotFound, RopewayError, ServiceError
from ropeway.mount.held import File, Spooled, Text
from ropeway.mount.listing import Folder
from ropeway.mount.stretches import Stretch
from ropeway.mount.tree import Tree

SIDE_BY_SIDE = 64
"""Reads that the kernel sends without waiting for the answers."""

_FILES = (Stretch, Text, Spooled)
_FOLDER, _FILE = stat.S_IFDIR | 0o555, stat.S_IFREG | 0o444
_SELF, _UP = (".", _FOLDER, 1), ("..", _FOLDER, 2)

_log = logging.getLogger(__name__)


class FileSystem:
    """The operations that mfusepy looks for, by their names.

    Times are all 0, as in the tars: the same files look the same in every mount.

    Args:
        tree: what is shown.
        ready: is called once the kernel has taken the file system.
    """

    use_ns = True
    flag_nopath = flag_nullpath_ok = True  # of what is open, the handle says all

    def __init__(self, tree: Tree, ready: Callable[[], None]) -> None:
        self._tree, self._ready = tree, ready
        self._open: dict[int, Folder | File] = {}
        self._handles = itertools.count(1)
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}

    def init_with_config(self, connection: Any, config: Any) -> None:
        connection.max_background = SIDE_BY_SIDE
        self._ready()

    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, int]:
        with _errors():
            found = self._tree.find(path) if path is not None else self._open[handle or 0]
            if not isinstance(found, _FILES):
                return {"st_mode": _FOLDER, "st_nlink": 2, **self._owner}
            size = found.size
        return {"st_mode": _FILE, "st_nlink": 1, "st_size": size, "st_blocks": -(-size // 512), **self._owner}

    def open(self, path: str, flags: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self._opened(path)

    def opendir(self, path: str) -> int:
        return self._opened(path)

    def read(self, path: str | None, size: int, offset: int, handle: int) -> "bytes | _Content":
        with _errors(known=True):
            content = self._open[handle].read(offset, size)  # type: ignore[union-attr]
        return content if isinstance(content, bytes) else _Content(content)

    def readdir_with_offset(self, path: str | None, offset: int, handle: int) -> Iterator[tuple[str, int, int]]:
        with _errors():
            yield from (_SELF, _UP)[offset:]
            for name, is_folder, cursor in self._open[handle].entries(max(0, offset - 2)):  # type: ignore[union-attr]
                yield name, _FOLDER if is_folder else _FILE, cursor + 2

    def release(self, path: str | None, handle: int) -> int:
        del self._open[handle]
        return 0

    def releasedir(self, path: str | None, handle: int) -> int:
        return self.release(path, handle)

    def _opened(self, path: str) -> int:
        with _errors():
            found = self._tree.find(path)
        handle = next(self._handles)
        self._open[handle] = found
        return handle


class _Content:
    """Bytes where they are: mfusepy gives them on by `ctypes.memmove`, which takes this for their address."""

    def __init__(self, content: memoryview) -> None:
        self._content = np.frombuffer(content, np.uint8)
        self._as_parameter_ = ctypes.c_void_p(address(self._content))

    def __len__(self) -> int:
        return len(self._content)


@contextmanager
def _errors(*, known: bool = False) -> Iterator[None]:
    """Errors as the kernel knows them, also told in the log: but for a name that is not there, unless it is `known`."""
    try:
        yield
    except (RopewayError, OSError) as error:
        number = error_number(error)
        if known or number != errno.ENOENT:
            _log.warning("%s: %s", os.strerror(number), " ".join(str(error).split()))
        raise OSError(number, os.strerror(number)) from error


def error_number(error: Exception) -> int:
    """The errno of an error: ENOENT, EACCES, or EIO for all that is broken, out of reach or too late."""
    match error:
        case NotFound() | ServiceError(status=404):
            return errno.ENOENT
        case AccessDenied() | ServiceError(status=401 | 403):
            return errno.EACCES
    return errno.EIO
