"""Files that hold many samples stay open between them: the last few of each adapter, in each process."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

LIMIT = 8


class Closable(Protocol):
    """An open file of some library."""

    def close(self) -> None:
        """Let go of the file."""
        ...


T = TypeVar("T", bound=Closable)
_ALL: "list[Opened[Any]]" = []


class Opened(Generic[T]):
    """The last files opened by `open`. Not for use from threads."""

    def __init__(self, open: Callable[[Path], T], limit: int = LIMIT) -> None:
        self._open, self._limit = open, limit
        self._files: OrderedDict[Path, T] = OrderedDict()
        _ALL.append(self)

    def get(self, path: Path) -> T:
        """The opened file; the one used longest ago is closed to make room."""
        if path in self._files:
            self._files.move_to_end(path)
            return self._files[path]
        while len(self._files) >= self._limit:
            self._files.popitem(last=False)[1].close()
        self._files[path] = opened = self._open(path)
        return opened

    def close(self) -> None:
        """Close all."""
        while self._files:
            self._files.popitem()[1].close()


def close_all() -> None:
    """Close every file that an adapter of this process holds open."""
    for opened in _ALL:
        opened.close()
