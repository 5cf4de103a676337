"""What tests have a process apart do: it must be in a module that the process can import."""

import time
from collections.abc import Callable

from ropeway_shardgen.reading import Reading, unhurried


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


def tells(tell: Callable[[], None], _given: None, word: str) -> str:
    """Says that it has begun."""
    tell()
    return word
