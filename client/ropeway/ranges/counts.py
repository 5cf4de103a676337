"""What a range client did."""

import threading
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a reader in this process.

    Attributes:
        requests: GETs sent, second ones included.
        bytes: of bodies received, those that were thrown away included.
        retries: requests that had to be sent because an earlier one failed.
        hedges: second requests, sent because the first was late.
        renewals: URLs asked for anew because one was refused.
    """

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    hedges: int = 0
    renewals: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))


class Counters:
    """Counts that threads add to."""

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self._requests = self._bytes = self._retries = self._hedges = self._renewals = 0

    def add(self, *, requests: int = 0, bytes: int = 0, retries: int = 0, hedges: int = 0, renewals: int = 0) -> None:
        """Count some more."""
        with self._adding:
            self._requests += requests
            self._bytes += bytes
            self._retries += retries
            self._hedges += hedges
            self._renewals += renewals

    def snapshot(self) -> Counts:
        """The counts so far."""
        with self._adding:
            return Counts(self._requests, self._bytes, self._retries, self._hedges, self._renewals)
