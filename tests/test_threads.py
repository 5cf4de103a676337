"""What waits for bytes and what works do not stand in each other's way."""

import threading
from functools import partial

import anyio
from anyio import to_thread

from ropeway_server import threads


def test_bytes_are_read_while_all_turns_are_taken() -> None:
    async def asked() -> list[int]:
        threads.limit()
        leave = threading.Event()
        async with anyio.create_task_group() as group:
            for _ in range(threads.WORKING + 2):
                group.start_soon(to_thread.run_sync, partial(leave.wait))
            try:
                with anyio.fail_after(20):
                    read = threads.reading(lambda start, stop: iter(range(start, stop)))
                    found = [piece async for piece in threads.read_by_turns(await read(3, stop=6))]
            finally:
                leave.set()
        return found

    assert anyio.run(asked) == [3, 4, 5]


def test_no_more_than_so_many_work_at_once() -> None:
    busy, most, counting = 0, 0, threading.Lock()
    together = threading.Barrier(threads.WORKING)

    def work() -> None:
        nonlocal busy, most
        with counting:
            busy += 1
            most = max(most, busy)
        together.wait(20)  # so many do run at once
        with counting:
            busy -= 1

    async def asked() -> None:
        threads.limit()
        async with anyio.create_task_group() as group:
            for _ in range(4 * threads.WORKING):
                group.start_soon(to_thread.run_sync, work)

    anyio.run(asked)
    assert most == threads.WORKING


def test_an_error_of_a_reading_endpoint_is_raised() -> None:
    def failing() -> None:
        raise ValueError("no such shard")

    async def asked() -> str:
        try:
            await threads.reading(failing)()
        except ValueError as error:
            return str(error)
        return ""

    assert anyio.run(asked) == "no such shard"
