"""What tests have a process apart do: it must be in a module that the process can import."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ropeway.stores import LocalStore
from ropeway.stores.protocol import Content
from ropeway_shardgen.reading import Reading, timed, unhurried


def makes(_tell: object, _given: None, seconds: float) -> str:
    """Takes its time for what is made once."""
    with Reading("x", "key"), unhurried():
        time.sleep(seconds)
    return "made"


def reads(_tell: object, _given: None, seconds: float) -> str:
    """Takes its time to read a file, and as long again after it."""
    with Reading("x", "key"):
        time.sleep(seconds)
    time.sleep(seconds)
    return "read"


def lists(_tell: object, _given: None, seconds: float, between: float) -> int:
    """Reads twenty rows of a table, which takes its time before the last, and as long as it is told between some."""
    count = 0
    for _ in timed(_rows(seconds), "t.csv"):
        count += 1
        time.sleep(between if count == 1 else 0)
    return count


def _rows(seconds: float) -> Iterator[int]:
    yield from range(19)
    time.sleep(seconds)
    yield 19


class SlowStore(LocalStore):
    """A directory that takes its time for shards, before and after each, and for what is put beside them."""

    seconds = 0.8

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        self._wait(path)
        with super().writing(path) as file:
            yield file
            self._wait(path)

    def put(self, path: str, content: Content) -> None:
        self._wait(path)
        super().put(path, content)

    def _wait(self, path: str) -> None:
        if ".tar" in path:
            time.sleep(self.seconds)


def tells(tell: Callable[[], None], _given: None, word: str) -> str:
    """Says that it has begun."""
    tell()
    return word
