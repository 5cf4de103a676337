"""What Ropeway asks of a store, and nothing more.

Two of the verbs carry all of publishing: `create` (of several writers one wins) and `swap` (nobody's change is lost).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from ropeway.errors import StoreError

Content = bytes | Path
"""What is written: bytes, or a local file that is uploaded without being read into memory."""


@dataclass(frozen=True, slots=True)
class Stat:
    """An object in a store. `tag` changes whenever the content does."""

    path: str
    size: int
    tag: str


class Store(Protocol):
    """A flat space of named objects; `/` in a path groups them. Safe to use from threads, and picklable.

    A path has no leading slash and no empty, `.` or `..` segments. Every method raises `NotFound`, `AccessDenied` or
    another `StoreError` that names the object's URL.
    """

    @property
    def url(self) -> str:
        """The store's root, as `open_store` takes it."""
        ...

    def stat(self, path: str) -> Stat:
        """Size and tag of an object."""
        ...

    def read(self, path: str, start: int = 0, stop: int | None = None) -> memoryview:
        """Bytes `start` to `stop` (exclusive; None: to the end) of an object, all of them or an error.

        This one works in a forked child too, where object stores refuse the rest.
        """
        ...

    def load(self, path: str) -> tuple[bytes, str]:
        """A small object whole, with the tag that `swap` takes."""
        ...

    def objects(self, prefix: str = "") -> Iterator[Stat]:
        """The objects whose path starts with the folder `prefix`, sorted by path."""
        ...

    def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders directly in the folder `prefix`, sorted."""
        ...

    def put(self, path: str, content: Content) -> None:
        """Write an object whole, over whatever is there; readers see the old or the new, never half."""
        ...

    def writing(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file for an object that is written piece by piece: put where the context ends, left out after an error."""
        ...

    def create(self, path: str, content: bytes) -> None:
        """Write an object that must not exist yet.

        Raises:
            AlreadyExists: it is there; its content was left alone.
        """
        ...

    def swap(self, path: str, content: bytes, tag: str) -> None:
        """Replace an object whose tag is still `tag`.

        Raises:
            Conflict: somebody else changed it; load it again and decide anew.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def sign(self, path: str, seconds: int) -> str | None:
        """A URL that anybody may GET for that long, or None where the store has no such thing."""
        ...

    def local_path(self, path: str) -> Path | None:
        """The file behind an object that may be mapped into memory, or None."""
        ...


def check_path(path: str, url: str) -> None:
    """Raise StoreError when a path could leave the store at `url`, or mean two things."""
    if {"", ".", ".."} & set(path.split("/")) or "\0" in path:
        raise StoreError(f"not a path in a store: {path!r}", url=url)


def check_folder(prefix: str, url: str) -> None:
    """Raise StoreError when a folder to list could leave the store at `url`; the empty one is its root."""
    if prefix:
        check_path(prefix.removesuffix("/"), url)


def check_range(start: int, stop: int | None, url: str) -> None:
    """Raise StoreError when these are not the ends of a byte range."""
    if start < 0 or (stop is not None and stop < start):
        raise StoreError(f"not a byte range: {start} to {stop}", url=url)


def too_short(size: int, stop: int, url: str) -> StoreError:
    """What a read past an object's end raises."""
    return StoreError(f"object ends at byte {size}, bytes up to {stop} were asked for", url=url)
