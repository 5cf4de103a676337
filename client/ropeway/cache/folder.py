"""A cache's folder.

<folder>/cache.json                       what kind of cache this is
<folder>/usage                            bytes on disk, the limit; the lock under which the folder is changed
<folder>/shards/<content id>/<number>     entries
"""

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ropeway.cache.entry import PAGES, WHOLE, Content
from ropeway.cache.seals import PAGE, Seal
from ropeway.cache.usage import SMALL, Listed, Usage, lock
from ropeway.errors import UsageError

FORMAT = 1

_NAMES = {"cache.json", "cache.json.new", "usage", "shards"}


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `cache.json` says. `seal` and `proof` are empty until a cache is first used after it was made or emptied."""

    ropeway_cache: int = FORMAT
    page: int = PAGE
    pages: int = PAGES
    seal: str = ""
    proof: str = ""

    def write(self, folder: Path) -> None:
        """Record it in a folder; only under the folder's lock."""
        new = folder / "cache.json.new"
        new.write_bytes(msgspec.json.encode(self))
        new.replace(folder / "cache.json")


_DECODER = msgspec.json.Decoder(Kind)  # once: see `manifest_reading`


class Folder:
    """The folder of a cache that is in use.

    Args:
        path: an empty folder, one that holds a cache, or one that is made.
        limit: bytes on disk that the whole folder may take.
        seal: how pages are written.

    Raises:
        UsageError: the limit is too small for one entry; the folder holds something else, a cache with another key or
            of an unknown format, belongs to somebody else, can be changed by others, or can't be written.
    """

    def __init__(self, path: Path, limit: int, seal: Seal) -> None:
        if limit < WHOLE + SMALL:
            raise UsageError(f"a cache of {limit:,} bytes can't hold one entry: give limit={WHOLE + SMALL} or more")
        self.path, self.limit, self._shards = path, limit, f"{path}/shards"
        self._victims: deque[Listed] = deque()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_owner(path)
            if strange := {entry.name for entry in os.scandir(path)} - _NAMES:
                raise UsageError(f"not a cache: it holds {min(strange)!r}; give an empty folder", url=path.as_uri())
            self._kind()  # what is no cache is left as it is
            (path / "shards").mkdir(mode=0o700, exist_ok=True)
            with self.locked() as usage:
                self._agree(seal)
                usage.change(0)
        except OSError as error:
            problem = f"can't be used as a cache: {error.strerror or error}"
            raise UsageError(problem, url=path.as_uri()) from error

    def entry_path(self, content: Content, number: int) -> str:
        """Where an entry lies. A string: a `Path` takes longer to make than the file to open."""
        return f"{self._shards}/{content.id.hex()}/{number:06d}"

    @contextmanager
    def locked(self) -> Iterator[Usage]:
        """Hold the lock under which the folder may be changed.

        Raises:
            OSError: the folder is gone or can't be written; TimeoutError: somebody else doesn't let go of the lock.
        """
        with lock(self.path) as descriptor:
            yield Usage(self.path, self.limit, descriptor, self._victims)

    def _kind(self) -> Kind:
        return read_kind(self.path) if (self.path / "cache.json").exists() else Kind()

    def _agree(self, seal: Seal) -> None:
        """Raise UsageError unless what is cached was sealed the same way, with the same key."""
        kind = self._kind()
        if not kind.seal:
            Kind(seal=seal.name, proof=seal.proof()).write(self.path)
            return
        clear, url = f"or empty it with `ropeway cache clear {self.path}`", self.path.as_uri()
        if kind.seal != seal.name:
            how = "encrypted: give its key" if kind.seal == "aes-gcm" else "not encrypted: give no key"
            raise UsageError(f"this cache is {how}, {clear}", url=url)
        if not seal.proves(kind.proof):
            raise UsageError(f"this cache was encrypted with another key: give that one, {clear}", url=url)


def read_kind(path: Path) -> Kind:
    """What kind of cache a folder holds.

    Raises:
        UsageError: none, or one of another format.
    """
    url = path.absolute().as_uri()
    try:
        kind = _DECODER.decode((path / "cache.json").read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError("not a cache of Ropeway's: it has no readable cache.json", url=url) from error
    if (kind.ropeway_cache, kind.page, kind.pages) != (FORMAT, PAGE, PAGES):
        raise UsageError("a cache of another version of Ropeway: delete the folder", url=url)
    return kind


def check_owner(path: Path) -> None:
    """Raise UsageError when somebody else could change what a folder holds.

    Who can write entries decides what is trained on; who can delete them decides what stays within the limit. That
    others may look into the folder is no matter: its files are their owner's alone.
    """
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise UsageError("the cache belongs to another user: give a folder of your own", url=path.absolute().as_uri())
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"others may write to the cache: run `chmod 700 {path}`", url=path.absolute().as_uri())
