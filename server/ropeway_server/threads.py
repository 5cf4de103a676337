"""The threads of a worker: few for what works, more for what waits for a store's bytes.

Threads do not queue for the interpreter. With twelve that worked, the slowest hundredth of what 64 clients asked took
five to eight times as long as half of it; with three, twice: what waits its turn in the loop comes in the order of
arrival.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
T = TypeVar("T")

WORKING = 3
"""Requests that a worker looks into at once."""

_READING = CapacityLimiter(16)
"""Reads of shards that a worker has under way at once."""


def limit() -> None:
    """Let no more than `WORKING` plain endpoints run at once; called in the loop."""
    to_thread.current_default_thread_limiter().total_tokens = WORKING


def reading(endpoint: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """An endpoint that reads from shards: it takes no turn from those that do not."""

    @wraps(endpoint)
    async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(partial(endpoint, *args, **kwargs), limiter=_READING)

    return asked


async def read_by_turns(pieces: Iterator[T]) -> AsyncIterator[T]:
    """Pieces that are read from shards, one after the other, as they are asked for."""
    end = object()
    while (piece := await to_thread.run_sync(next, pieces, end, limiter=_READING)) is not end:
        yield piece  # type: ignore[misc]
