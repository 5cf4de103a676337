"""What is in the way of streaming from this host: one look at versions, machine, store, clock and speed.

Each check says what it found and, where something is wrong, what to change. Checks never raise: what they cannot find
out is a finding too.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ropeway.doctor import machine, speed, store
from ropeway.doctor.finding import Finding, Need, Verdict, worst
from ropeway.errors import RopewayError

__all__ = ["Finding", "Need", "Verdict", "examine", "worst"]

_Check: TypeAlias = Callable[[], Iterator[Finding]]


def examine(url: str | None = None, need: Need | None = None) -> Iterator[Finding]:
    """All checks, one finding after the other.

    Args:
        url: of a store or a service; None leaves out what needs one.
        need: what a job reads and how fast, to hold the network against; None measures the fastest reading only.
    """
    yield from machine.checks()
    if url is None:
        yield Finding("store", "unknown", "no store given", "give --store to check access, clock and speed")
        return
    reached = store.Reached(url)
    yield from _caught("store", reached.checks)
    catalog = reached.catalog
    if catalog is not None:
        yield from _caught("speed", lambda: speed.checks(catalog, need or Need()))


def _caught(name: str, check: _Check) -> Iterator[Finding]:
    try:
        yield from check()
    except RopewayError as error:
        yield Finding(name, "bad", " ".join(str(error).split()), "the message says what to change")
