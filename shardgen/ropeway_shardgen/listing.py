"""The raw folder: which of its files a recipe uses, and a digest of that listing. Read-only."""

import hashlib
from pathlib import Path

from ropeway.errors import SourceError
from ropeway_shardgen.problems import SampleError


class Listing:
    """The raw files in use: relative path → size (bytes). Nothing outside the root is ever one of them."""

    def __init__(self, root: str | Path, dataset: str) -> None:
        self.root = Path(root).expanduser().absolute()
        self.dataset = dataset
        if not self.root.is_dir():
            raise SourceError(f"no such folder of raw data: {root}", dataset=dataset)
        self._real_root = self.root.resolve()
        self.sizes: dict[str, int] = {}

    def glob(self, pattern: str) -> list[str]:
        """The files that match a pattern, as sorted relative paths.

        Raises:
            SampleError: none does.
            SourceError: it is not a pattern.
        """
        try:
            found = sorted(
                path.relative_to(self.root).as_posix() for path in self.root.glob(pattern) if not path.is_dir()
            )
        except (ValueError, NotImplementedError) as error:
            raise SourceError(f"not a pattern of raw files: {pattern!r} ({error})", dataset=self.dataset) from error
        if not found:
            raise SampleError(f"raw file missing: {pattern} in {self.root}", reason="missing file")
        return found

    def add(self, path: str) -> int:
        """Note that a file is used; its size.

        Raises:
            SampleError: it is missing, not a file, or outside the root.
        """
        if path in self.sizes:
            return self.sizes[path]
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
        if not real.is_file():
            raise SampleError(f"not a file: {path}", reason="missing file")
        self.sizes[path] = size
        return size

    def digest(self) -> str:
        """sha256 over the sorted paths and sizes."""
        digest = hashlib.sha256()
        for path in sorted(self.sizes):
            digest.update(f"{self.sizes[path]}\t{path}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
