"""Work done ahead by a thread: order, bounds, errors, and an end without leftovers."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from ropeway.ahead import ahead


def sizes(item: int) -> int:
    return 10


def test_items_come_one_by_one_in_order() -> None:
    groups = [[1], [2, 3], [], [4, 5, 6]]
    assert list(ahead(lambda: (group for group in groups), sizes, 1)) == [1, 2, 3, 4, 5, 6]


def test_no_more_is_made_than_may_wait() -> None:
    made = []
    waiting = threading.Event()

    def source() -> Iterator[list[int]]:
        for number in count():
            made.append(number)
            if number == 5:
                waiting.set()
            yield [number]

    items = ahead(source, sizes, 50)
    assert next(items) == 0
    waiting.wait(10)
    assert next(items) == 1
    assert len(made) <= 2 + 5 + 1  # those taken, those that fill 50 bytes, and one that waits to be put
    items.close()  # type: ignore[attr-defined]


def test_two_may_wait_whatever_their_size() -> None:
    made = threading.Semaphore(0)

    def source() -> Iterator[list[int]]:
        for number in range(9):
            made.release()
            yield [number]

    items = ahead(source, sizes, 1)
    next(items)
    for _ in range(3):
        assert made.acquire(timeout=10)
    items.close()  # type: ignore[attr-defined]


def test_an_error_comes_after_what_was_made_before_it() -> None:
    def source() -> Iterator[list[int]]:
        yield [1, 2]
        raise ValueError("broken")

    items = ahead(source, sizes, 1000)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_leaving_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[list[int]]:
        try:
            for number in count():
                yield [number]
        finally:
            closed.set()

    before = threading.active_count()
    items = ahead(source, sizes, 20)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert threading.active_count() == before


def test_an_interrupt_while_the_thread_begins_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, begin = threading.Event(), threading.Thread.start

    def source() -> Iterator[list[int]]:
        try:
            for number in count():
                yield [number]
        finally:
            closed.set()

    def interrupted(thread: threading.Thread) -> None:
        begin(thread)
        raise KeyboardInterrupt

    items = ahead(source, sizes, 20)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert closed.is_set()


FAILING = """
import torch
from ropeway.ahead import ahead

def batches():
    while True:
        yield [torch.rand(300_000).sort().values]

items = ahead(batches, lambda _: 1, 1 << 40)
next(items)
raise ValueError("in the middle of an epoch")
"""


def test_a_program_that_fails_in_the_middle_ends_with_its_own_error() -> None:
    """Not by an abort of a thread that is in torch as the interpreter goes."""
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "ValueError: in the middle of an epoch"
