"""One range on its way: its tries, until it is there or there is no time left."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from time import monotonic
from urllib.parse import urlsplit

from ropeway.errors import AccessDenied, StoreError
from ropeway.ranges.answer import Passing, Refused, shown
from ropeway.ranges.counts import Counters
from ropeway.ranges.live import Live
from ropeway.ranges.race import Race
from ropeway.ranges.request import Requests
from ropeway.ranges.target import Pieces, Target

UrlOf = Callable[[str], str]
"""Gives the URL to read an object by. Its argument is the URL that was just refused, or empty; the same URL in answer
says that there is no other."""


class Reading:
    """Reads one range, once.

    Args:
        live: what this process holds.
        counters: are told what is done.
        url_of: gives the object's URL.
        start, stop: of the range; stop None means to the object's end.
        denied: what to tell when a fresh URL is refused too.
        pieces: by which it is received, or None.
    """

    def __init__(
        self, live: Live, counters: Counters, url_of: UrlOf, start: int, stop: int | None, denied: str,
        pieces: Pieces | None = None,
    ) -> None:  # fmt: skip
        self._live, self._counters, self._url_of, self._denied = live, counters, url_of, denied
        self._target = Target(start, stop, pieces)
        self._begun = monotonic()
        self._url = ""
        self._renewed = False
        self._race = Race(live.pace)
        self._requests = Requests(live, counters, self._race, self._begun)

    def run(self) -> Target:
        """The range, filled.

        Raises:
            Ended: the object has fewer bytes.
            AccessDenied, NotFound, StoreError: as `RangeClient.read`.
        """
        start, stop = self._target.start, self._target.stop
        patience = None if stop is None else self._live.pace.patience(stop - start)
        late = partial(self._race.late, self._second)
        try:
            with nullcontext() if patience is None else self._live.watch.over(patience, late):
                self._url = self._url_of("")
                self._tries()
                return self._race.winner
        finally:
            self._race.end(None)

    def _tries(self) -> None:
        """Try after try to fill the target, until that is done or the second request was faster."""
        tries = failures = 0
        while not self._race.over:
            tries, before = tries + 1, self._target.done
            try:
                self._requests.get(self._url, self._target)
            except Refused as problem:
                self._renew(problem)
            except Passing as problem:
                if self._race.over:
                    return
                failures = 1 if self._target.done > before else failures + 1
                self._wait(problem, failures, tries)
                self._counters.add(retries=1)
            else:
                self._race.end(self._target)

    def _second(self) -> Target:
        """One try beside the first, with a buffer of its own."""
        self._counters.add(hedges=1)
        target = Target(self._target.start, self._target.stop, self._target.pieces)
        self._requests.get(self._url, target)
        return target

    def _renew(self, problem: Refused) -> None:
        """Ask for another URL, once.

        Raises:
            AccessDenied: there is no other, or it was refused too.
        """
        fresh = self._url if self._renewed else self._url_of(self._url)
        if fresh == self._url:
            raise AccessDenied(f"{self._denied} ({problem})", url=shown(self._url)) from None
        self._url, self._renewed = fresh, True
        self._counters.add(renewals=1)

    def _wait(self, problem: Passing, failures: int, tries: int) -> None:
        """Wait before the next try, or until the second request has won.

        Raises:
            StoreError: there is no time left for another one.
        """
        retry, target = self._live.retry, self._target
        size = (target.stop or target.start) - target.start
        known = urlsplit(self._url).netloc in self._live.reached
        spent = monotonic() - self._begun
        pause = 0.0 if problem.after is None else problem.after + retry.pause(failures)
        if spent + pause < (retry.limit(size) if known else retry.unreached):
            self._race.wait(pause)
            return
        told = f"request failed: {problem.reason} (gave up after {tries} tries in {spent:.1f} s"
        if problem.after:
            told += f"; the server asked to wait {problem.after:.0f} s more"
        if not known:
            told += "; nothing was ever reached there: is the address right, and can this host reach it?"
        raise StoreError(f"{told})", url=shown(self._url)) from problem.__cause__
