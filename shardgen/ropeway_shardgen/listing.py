"""The raw folder: which of its files a recipe uses, and a digest of that listing. Read-only."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from ropeway.errors import RopewayError, SourceError
from ropeway_shardgen.adapters import Adapter, Options
from ropeway_shardgen.adapters.adapter import alone
from ropeway_shardgen.problems import SampleError, one_line
from ropeway_shardgen.reading import Reading

_FOLDERS = 1024


class Listing:
    """The raw files in use: relative path → size (bytes). Nothing outside the root is ever one of them."""

    def __init__(self, root: str | Path, dataset: str) -> None:
        self.root = Path(root).expanduser().absolute()
        self.dataset = dataset
        if not self.root.is_dir():
            raise SourceError(f"no such folder of raw data: {root}", dataset=dataset)
        self._real_root = self.root.resolve()
        self.sizes: dict[str, int] = {}
        self._folders: dict[str, str] = {}

    def glob(self, pattern: str, *, folders: bool = False) -> list[str]:
        """The files (or folders) that match a pattern, as sorted relative paths.

        Raises:
            SampleError: none does.
            SourceError: it is not a pattern.
        """
        try:
            found = sorted(
                path.relative_to(self.root).as_posix() for path in self.root.glob(pattern) if path.is_dir() == folders
            )
        except (ValueError, NotImplementedError) as error:
            raise SourceError(f"not a pattern of raw files: {pattern!r} ({error})", dataset=self.dataset) from error
        if not found:
            what = "folder" if folders else "file"
            raise SampleError(f"raw {what} missing: {pattern} in {self.root}", reason="missing file")
        return found

    def add(self, path: str) -> int:
        """Note that a file is used, or all files below a folder; their size.

        Raises:
            SampleError: it is missing, not a file, or outside the root.
        """
        if path in self.sizes:
            return self.sizes[path]
        plain = self._plain_size(path)
        if plain is not None:
            self.sizes[path] = plain
            return plain
        file = self.root / path
        try:
            real = file.resolve(strict=True)
            size = real.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise SampleError(f"raw file missing: {path}", reason="missing file") from None
        except (OSError, RuntimeError, ValueError) as error:  # no permission, a loop of links, a zero byte in the name
            raise SampleError(f"raw file cannot be read: {path}: {error}", reason="unreadable file") from error
        if not real.is_relative_to(self._real_root):
            raise SampleError(f"raw file lies outside the raw folder: {path}", reason="file outside the root")
        if real.is_dir():
            below = sorted(one for one in file.rglob("*") if not one.is_dir())
            return sum(self.add(one.relative_to(self.root).as_posix()) for one in below)
        if not real.is_file():
            raise SampleError(f"not a file: {path}", reason="missing file")
        self.sizes[path] = size
        return size

    def _plain_size(self, path: str) -> int | None:
        """The size of a regular file in a folder inside the root; None for what takes a closer look, such as a link.

        Where folders are resolved once, a million files are listed in a tenth of the time.
        """
        folder, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            return None
        try:
            status = os.lstat(f"{self._real_folder(folder)}/{name}")
        except (OSError, RuntimeError, ValueError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _real_folder(self, folder: str) -> str:
        """Where a folder really is; the last thousand are remembered."""
        if folder not in self._folders:
            real = (self.root / folder).resolve(strict=True)
            if not real.is_relative_to(self._real_root):
                raise ValueError("outside the root")
            if len(self._folders) >= _FOLDERS:
                self._folders.clear()
            self._folders[folder] = str(real)
        return self._folders[folder]

    def add_companions(self, path: str, adapter: Adapter[Any], options: Options) -> int:
        """Note the files that an adapter reads together with one; their size.

        Raises:
            SampleError: the file does not say which, or one of them is missing.
        """
        if adapter.companions is alone:
            return 0
        try:
            with Reading(path):
                companions = list(adapter.companions(self.root / path, options))
            return sum(self.add(one.relative_to(self.root).as_posix()) for one in companions)
        except RopewayError:
            raise
        except Exception as error:
            raise SampleError(f"{path} cannot be read: {one_line(error)}", reason="unreadable file") from error

    def digest(self) -> str:
        """sha256 over the sorted paths and sizes."""
        digest = hashlib.sha256()
        for path in sorted(self.sizes):
            digest.update(f"{self.sizes[path]}\t{path}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
