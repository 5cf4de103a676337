"""A directory as a store."""

import fcntl
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ropeway.errors import AccessDenied, AlreadyExists, Conflict, NotFound, StoreError
from ropeway.stores.protocol import Content, Stat, check_folder, check_path, check_range, too_short

_TEMPORARY = ".ropeway-tmp-"
_BUFFER = 64 << 10
"""Bytes. Small writes are gathered; larger ones pass by."""
_OUT = 8 << 20
"""Bytes after which the disk is told to begin: what is left for the end is short to wait for."""


class LocalStore:
    """Objects are files under `root`. Writes go to a temporary file that is synced, then linked or renamed."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def stat(self, path: str) -> Stat:
        with self._errors(path):
            file = self._file(path)
            if file.is_dir():
                raise IsADirectoryError(path)
            return _stat(path, file.stat())

    def read(self, path: str, start: int = 0, stop: int | None = None) -> memoryview:
        url = self._url(path)
        check_range(start, stop, url)
        with self._errors(path), self._file(path).open("rb", buffering=0) as file:
            end = max(start, os.fstat(file.fileno()).st_size) if stop is None else stop
            buffer = memoryview(bytearray(end - start))
            done = 0
            while done < len(buffer):
                got = os.preadv(file.fileno(), [buffer[done:]], start + done)
                if got == 0:
                    raise too_short(os.fstat(file.fileno()).st_size, end, url)
                done += got
            return buffer

    def load(self, path: str) -> tuple[bytes, str]:
        with self._errors(path):
            content = self._file(path).read_bytes()
            return content, _digest(content)

    def objects(self, prefix: str = "") -> Iterator[Stat]:
        check_folder(prefix, self._url(prefix))
        found = []
        with self._errors(prefix):
            for file in _files(self.root / prefix):
                with suppress(FileNotFoundError):  # deleted since it was listed
                    found.append(_stat(file.relative_to(self.root).as_posix(), file.stat()))
        yield from sorted(found, key=lambda stat: stat.path)

    def folders(self, prefix: str = "") -> list[str]:
        check_folder(prefix, self._url(prefix))
        folder = self.root / prefix
        if not self.root.is_dir():
            raise NotFound("no such folder", url=self.url)
        with self._errors(prefix):
            return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else []

    def put(self, path: str, content: Content) -> None:
        with self.writing(path) as file:
            _copy(content, file)

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        with self._errors(path), self._temporary(path) as (temporary, file):
            yield file
            _settle(file)
            temporary.replace(self._file(path))

    def create(self, path: str, content: bytes) -> None:
        with self._errors(path), self._temporary(path) as (temporary, file):
            _copy(content, file)
            _settle(file)
            self._file(path).hardlink_to(temporary)

    def swap(self, path: str, content: bytes, tag: str) -> None:
        with self._errors(path), self._temporary(path) as (temporary, file):
            _copy(content, file)
            _settle(file)
            with _locked(self._file(path).parent):
                if _digest(self._file(path).read_bytes()) != tag:
                    raise Conflict("changed since it was read", url=self._url(path))
                temporary.replace(self._file(path))

    def delete(self, path: str) -> None:
        with self._errors(path), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._file(path).unlink()

    def sign(self, path: str, seconds: int) -> str | None:
        return None

    def local_path(self, path: str) -> Path | None:
        return self._file(path)

    def _file(self, path: str) -> Path:
        check_path(path, self._url(path))
        return self.root / path

    def _url(self, path: str) -> str:
        return f"{self.url}/{path}"

    @contextmanager
    def _temporary(self, path: str) -> Iterator[tuple[Path, BinaryIO]]:
        """A new file beside the object, to be filled and renamed; what is then left of it is removed."""
        folder = self._file(path).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError("a file is where this object's folder should be", url=self._url(path)) from error
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        temporary = Path(name)
        try:
            with io.BufferedWriter(_Early(handle, "wb"), _BUFFER) as file:
                yield temporary, file
            _sync(folder)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound("no such object", url=self._url(path)) from error
        except IsADirectoryError as error:
            raise NotFound("a folder, not an object", url=self._url(path)) from error
        except FileExistsError as error:
            raise AlreadyExists("already there", url=self._url(path)) from error
        except PermissionError as error:
            raise AccessDenied("permission denied: check the folder's owner and mode", url=self._url(path)) from error
        except OSError as error:
            raise StoreError(error.strerror or str(error), url=self._url(path)) from error


class _Early(io.FileIO):
    """A new file whose bytes the system writes out while more come: it would wait for `fsync`, or for memory to fill.

    Linux does so when it is told that they are not needed; those that are still to be written out stay in its cache.
    """

    _written = 0
    _begun = 0

    def write(self, content: Any, /) -> int:
        done = super().write(content)
        self._written += done
        if self._written - self._begun >= _OUT and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fileno(), self._begun, self._written - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = self._written
        return done


def _copy(content: Content, file: BinaryIO) -> None:
    if isinstance(content, Path):
        with content.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
    else:
        file.write(content)


def _settle(file: BinaryIO) -> None:
    """The content is on the disk before the object appears."""
    file.flush()
    os.fchmod(file.fileno(), 0o644)
    os.fsync(file.fileno())


def _stat(path: str, status: os.stat_result) -> Stat:
    return Stat(path, status.st_size, f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}")


def _digest(content: bytes) -> str:
    """What `swap` compares: inode and time of a file would not do, both come back when files are replaced quickly."""
    return hashlib.sha256(content).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, but for those that are still being written."""
    for inside, _, names in os.walk(folder, onerror=_unless_gone):
        yield from (Path(inside, name) for name in names if not name.startswith(_TEMPORARY))


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
