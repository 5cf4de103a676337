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
from itertools import islice
from math import inf
from time import monotonic
from typing import NamedTuple, TypeVar

from ropeway_shardgen.problems import SampleError

T = TypeVar("T")

SECONDS = 600.0
"""In which a file must have been read: the largest sample that there may be, from a slow disk."""

NOTE = 1 << 14
"""Bytes of a note: more than a path of the system's and a key."""

_END = b"\0\0"

_ROWS = 16
"""Rows that have the time of a file together: a timer takes longer than a row does, and a row may be large."""

_SLACK = 1 / 16
"""Part of its time that a file may have on top: for so long the timer of an earlier one is left as it was set, which
takes as long as a small file."""


class Place(NamedTuple):
    """A raw file, and the sample that it is read for; "" while the samples are listed."""

    path: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """How files are read: in so many seconds each, and those not at all that have held up a process or ended it.

    Attributes:
        seconds: and up to a sixteenth more.
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


class _Watch:
    """Who watches this process, and since when the timer runs."""

    def __init__(self, note: Note, limit: Limit) -> None:
        self._note, self._limit = note, limit
        self._since = -inf

    def begin(self, path: str, key: str) -> None:
        """A file is read, with its time before it."""
        if self._limit.left_out and (reason := self._limit.left_out.get(Place(path, key))):
            raise SampleError(f"left out: {reason}", reason=reason)
        self._note.write(path, key)
        self.run()

    def end(self) -> None:
        """It has been read; the timer runs on."""
        self._note.clear()

    def run(self) -> None:
        """Let the timer run, for as long as a file may take at least."""
        now, seconds = monotonic(), self._limit.seconds
        if now - self._since > seconds * _SLACK:
            signal.setitimer(signal.ITIMER_REAL, seconds * (1 + _SLACK))
            self._since = now

    def stop(self) -> None:
        """Stop the timer."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._since = -inf


_watched: _Watch | None = None


@contextmanager
def watched(note: Note, limit: Limit) -> Iterator[None]:
    """Within, this process keeps to a limit, and ends where it cannot. Only for the main thread of a process apart."""
    global _watched  # noqa: PLW0603  the timer is the process's own too
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process
    _watched = _Watch(note, limit)
    try:
        yield
    finally:
        rest()
        _watched = None


class OneOfMany:
    """The time in which a file is read, of many that follow each other: the timer runs on until `rest`.

    Raises:
        SampleError: it is one of those that are left out.
    """

    __slots__ = ("_key", "_path")

    def __init__(self, path: str, key: str = "") -> None:
        self._path, self._key = path, key

    def __enter__(self) -> None:
        if _watched is not None:
            _watched.begin(self._path, self._key)

    def __exit__(self, *_: object) -> None:
        if _watched is not None:
            _watched.end()


class Reading(OneOfMany):
    """The time in which a file is read.

    Raises:
        SampleError: it is one of those that are left out.
    """

    __slots__ = ()

    def __exit__(self, *_: object) -> None:
        if _watched is not None:
            _watched.end()
            _watched.stop()


def timed(rows: Iterator[T], path: str) -> Iterator[T]:
    """The rows of a file, a few of them read in the time of one.

    Raises:
        SampleError: the file is one of those that are left out.
    """
    while True:
        with Reading(path):
            some = list(islice(rows, _ROWS))
        yield from some
        if len(some) < _ROWS:
            return


def rest() -> None:
    """Before whatever may take its time between the files of `OneOfMany`, such as a slow store."""
    if _watched is not None:
        _watched.stop()


@contextmanager
def unhurried() -> Iterator[None]:
    """Within a reading, what may take its time: something that is made once, from whole tables."""
    rest()
    try:
        yield
    finally:
        if _watched is not None:
            _watched.run()
