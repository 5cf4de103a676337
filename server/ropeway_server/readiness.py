"""Whether a replica can serve: asked by every probe and proxy, found out once a second."""

import threading
from collections.abc import Callable
from math import inf
from time import monotonic

from ropeway.errors import ServiceError

FRESH = 1.0
"""Seconds for which what was found holds."""

LATE = 10.0
"""Seconds after which somebody who is still looking has found that the replica cannot serve."""


class Readiness:
    """Remembers what a check found. Safe to use from threads."""

    def __init__(self, check: Callable[[], None]) -> None:
        """
        Args:
            check: raises ServiceError where the replica cannot serve.
        """
        self._check = check
        self._checking = threading.Lock()
        self._begun = self._at = -inf
        self._problem = ""

    def check(self) -> None:
        """Raise ServiceError when the replica cannot serve, or could not a moment ago.

        Whoever comes while somebody looks is told what was found before: a store that hangs holds up one request, and
        after a while the others are told of it.
        """
        if monotonic() - self._at >= FRESH and self._checking.acquire(timeout=LATE if self._at == -inf else 0):
            try:
                self._look()
            finally:
                self._checking.release()
        if self._begun > self._at and monotonic() - self._begun >= LATE:
            raise ServiceError(f"the store or the database has not answered for {LATE:g} s")
        if self._problem:
            raise ServiceError(self._problem)

    def _look(self) -> None:
        if monotonic() - self._at < FRESH:  # somebody looked while this one waited
            return
        self._begun = monotonic()
        try:
            self._check()
        except ServiceError as error:
            self._problem = str(error)
        else:
            self._problem = ""
        self._at = monotonic()
