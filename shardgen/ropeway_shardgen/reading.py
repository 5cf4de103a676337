"""Raw files are read against the clock: in a damaged one the C code of a library may loop, which only the end of its
process stops.

A process that packs for another (`apart.py`) notes which file it reads, in memory that both have, and sets a timer of
the system's. If that runs out, the system ends the process, whatever it is doing. Where nobody watches, as in a program
that packs in its own process, files are read without a limit.
"""

import mmap
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ropeway_shardgen.problems import SampleError

SECONDS = 600.0
"""In which a file must have been read: the largest sample that there may be, from a slow disk."""

NOTE = 1 << 14
"""Bytes of a note: more than a path of the system's and a key."""

_END = b"\0\0"


class Place(NamedTuple):
    """A raw file, and the sample that it is read for; "" while the samples are listed."""

    path: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """How files are read: in so many seconds each, and those not at all that have held up a process or ended it.

    Attributes:
        left_out: file → why, a reason as `SampleError` has it.
    """

    seconds: float = SECONDS
    left_out: Mapping[Place, str] = field(default_factory=dict)


class Note:
    """The file that a process reads, in memory shared by an open file of `NOTE` bytes."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, NOTE)

    def write(self, path: str, key: str) -> None:
        """A file is read now."""
        content = f"{path}\0{key}".encode("utf-8", "surrogateescape")[: NOTE - len(_END)] + _END
        self._memory[: len(content)] = content

    def clear(self) -> None:
        """None is."""
        self._memory[: len(_END)] = _END

    def read(self) -> Place | None:
        """The file that is read; None where none is."""
        content = self._memory[:].partition(_END)[0].decode("utf-8", "surrogateescape")
        return Place(*content.split("\0")) if content else None


class _Watched(NamedTuple):
    """Who watches this process."""

    note: Note
    limit: Limit


_watched: _Watched | None = None


@contextmanager
def watched(note: Note, limit: Limit) -> Iterator[None]:
    """Within, this process keeps to a limit, and ends where it cannot. Only for the main thread of a process apart."""
    global _watched  # noqa: PLW0603  the timer is the process's own too
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process
    _watched = _Watched(note, limit)
    try:
        yield
    finally:
        _watched = None


class Reading:
    """The time in which a file is read.

    Raises:
        SampleError: it is one of those that are left out.
    """

    __slots__ = ("_key", "_path")

    def __init__(self, path: str, key: str = "") -> None:
        self._path, self._key = path, key

    def __enter__(self) -> None:
        if _watched is None:
            return
        note, limit = _watched
        if limit.left_out and (reason := limit.left_out.get(Place(self._path, self._key))):
            raise SampleError(f"left out: {reason}", reason=reason)
        note.write(self._path, self._key)
        signal.setitimer(signal.ITIMER_REAL, limit.seconds)

    def __exit__(self, *_: object) -> None:
        if _watched is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _watched.note.clear()


@contextmanager
def unhurried() -> Iterator[None]:
    """Within a reading, what may take its time: something that is made once, from whole tables."""
    _set_timer(on=False)
    try:
        yield
    finally:
        _set_timer(on=True)


def _set_timer(*, on: bool) -> None:
    """Where nobody watches, the timer is not ours to set."""
    if _watched is not None:
        signal.setitimer(signal.ITIMER_REAL, _watched.limit.seconds if on else 0)
