"""One range on its way: its tries, and the race between a late request and a second one."""

import ssl
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from time import monotonic
from urllib.parse import SplitResult, urlsplit

import numpy as np

from ropeway.errors import AccessDenied, StoreError
from ropeway.ranges.answer import Body, Ended, Moved, Passing, Refused, shown, understand
from ropeway.ranges.connections import Connection, Stale
from ropeway.ranges.counts import Counters
from ropeway.ranges.live import Live
from ropeway.samples import Bytes

UrlOf = Callable[[str], str]
"""Gives the URL to read an object by. Its argument is the URL that was just refused, or empty; the same URL in answer
says that there is no other."""

_PIECE = 256 << 10
"""Bytes received at once where http.client has to take the body apart."""

_MOVES = 5
"""Redirects followed one after the other."""


@dataclass(slots=True, eq=False)
class Target:
    """Where one request after the other puts the bytes `start` to `stop`; the first `done` of them are there.

    Each thread fills its own, and whoever lets go of it lets go of the buffer.
    """

    start: int
    stop: int | None
    done: int = 0
    buffer: Bytes | None = None
    total: int | None = None
    etag: str = ""

    @property
    def left(self) -> memoryview:
        assert self.buffer is not None
        return self.buffer.data[self.done :]


class Reading:
    """Reads one range, once.

    Args:
        live: what this process holds.
        counters: are told what is done.
        url_of: gives the object's URL.
        start, stop: of the range; stop None means to the object's end.
        denied: what to tell when a fresh URL is refused too.
    """

    def __init__(
        self, live: Live, counters: Counters, url_of: UrlOf, start: int, stop: int | None, denied: str
    ) -> None:
        self._live, self._counters, self._url_of, self._denied = live, counters, url_of, denied
        self._target = Target(start, stop)
        self._begun = monotonic()
        self._url = ""
        self._lock, self._over = threading.Lock(), threading.Event()
        self._winner: Target | None = None
        self._racing: set[Connection] = set()

    def run(self) -> Target:
        """The range, filled.

        Raises:
            Ended: the object has fewer bytes.
            AccessDenied, NotFound, StoreError: as `RangeClient.read`.
        """
        start, stop = self._target.start, self._target.stop
        patience = None if stop is None else self._live.pace.patience(stop - start)
        try:
            with nullcontext() if patience is None else self._live.watch.over(patience, self._late):
                return self._winner_of(self._tries())
        finally:
            self._end(None)

    def _winner_of(self, mine: Target | None) -> Target:
        if mine is not None:
            self._end(mine)
        assert self._winner is not None
        return self._winner

    def _tries(self) -> Target | None:
        """Fill the target, try after try; None when the second request was faster."""
        tries, failures, renewed = 0, 0, False
        self._url = self._url_of("")
        while not self._over.is_set():
            tries, before = tries + 1, self._target.done
            try:
                self._get(self._url, self._target)
            except Refused as problem:
                fresh = self._url if renewed else self._url_of(self._url)
                if fresh == self._url:
                    raise AccessDenied(f"{self._denied} ({problem})", url=shown(self._url)) from None
                self._url, renewed = fresh, True
                self._counters.add(renewals=1)
            except Passing as problem:
                if self._over.is_set():
                    break
                failures = 1 if self._target.done > before else failures + 1
                self._wait(problem, failures, tries)
                self._counters.add(retries=1)
            else:
                return self._target
        return None

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
            self._over.wait(pause)
            return
        told = f"request failed: {problem.reason} (gave up after {tries} tries in {spent:.1f} s"
        if problem.after:
            told += f"; the server asked to wait {problem.after:.0f} s more"
        if not known:
            told += "; nothing was ever reached there: is the address right, and can this host reach it?"
        raise StoreError(f"{told})", url=shown(self._url)) from problem.__cause__

    # ---- the race

    def _late(self) -> None:
        """Send a second request, if the first may have one. Runs in the watching thread."""
        waiting = bool(self._racing)  # rather than pausing, as the server may have asked
        if waiting and not self._over.is_set() and self._live.pace.spend():
            threading.Thread(target=self._second, name="ropeway-hedge", daemon=True).start()

    def _second(self) -> None:
        """One try with a buffer of its own: what becomes of it is nobody's concern unless it is the first to finish."""
        self._counters.add(hedges=1)
        target = Target(self._target.start, self._target.stop)
        try:
            self._get(self._url, target)
        except (Passing, Refused, Ended, StoreError):  # the first one will see for itself
            return
        self._end(target)

    def _end(self, winner: Target | None) -> None:
        """End the race unless it has ended: only the first winner counts, and all others are broken off."""
        with self._lock:
            if self._over.is_set():
                return
            self._winner = winner
            self._over.set()
            for connection in self._racing:
                connection.abort()

    def _joins(self, connection: Connection) -> bool:
        with self._lock:
            if not self._over.is_set():
                self._racing.add(connection)
            return not self._over.is_set()

    # ---- one request

    def _get(self, url: str, target: Target) -> None:
        """Fill what is left of the target by one request, and those that redirects lead to."""
        for _ in range(_MOVES):
            try:
                return self._ask(urlsplit(url), target)
            except Moved as moved:
                url = moved.url
        raise StoreError(f"redirected more than {_MOVES} times", url=shown(url))

    def _ask(self, url: SplitResult, target: Target) -> None:
        connection = self._live.connections.take(url)
        if not self._joins(connection):
            connection.close()
            raise Passing("no longer needed")
        reusable = False
        try:
            reusable = self._receive(connection, url, target)
        except StoreError:  # some of which are OSErrors too
            raise
        except ssl.SSLCertVerificationError as error:
            raise StoreError(f"the server's certificate is not trusted: {error.verify_message} (set SSL_CERT_FILE, or "
                             "for S3 AWS_CA_BUNDLE, to your authority's)", url=shown(url)) from error  # fmt: skip
        except Stale as error:
            raise Passing("the connection had ended", after=None) from error
        except (OSError, HTTPException) as error:
            raise Passing(_reason(error, self._live.retry.stall)) from error
        finally:
            with self._lock:
                self._racing.discard(connection)
                aborted = self._over.is_set()
            if reusable and not aborted:
                self._live.connections.give(connection)
            else:
                connection.close()

    def _receive(self, connection: Connection, url: SplitResult, target: Target) -> bool:
        """Fill the target; True when the connection can be used again."""
        connection.open()
        self._live.reached.add(url.netloc)
        asked = monotonic()
        first = target.start + target.done
        wanted = {} if target.stop is None and first == 0 else {"Range": _range(first, target.stop)}
        self._counters.add(requests=1)
        response = connection.get(url, wanted, self._live.retry.stall)
        try:
            body = understand(response, url, first, target.stop)
            self._accept(target, body, url)
            answered = monotonic()
            _skip(response, body.skip)
            self._fill(response, target, body.length)
            self._live.pace.seen(answered - asked, monotonic() - answered, body.skip + body.length)
            return body.whole and not response.will_close
        finally:
            response.close()

    def _accept(self, target: Target, body: Body, url: SplitResult) -> None:
        """Make room for a body, the first time."""
        if target.buffer is None:
            target.stop = target.start + body.length if target.stop is None else target.stop
            target.buffer = self._live.buffers.take(target.stop - target.start)
        if target.etag and body.etag and target.etag != body.etag:
            raise StoreError("the object was replaced while it was read", url=shown(url))
        target.total, target.etag = body.total, body.etag

    def _fill(self, response: HTTPResponse, target: Target, length: int) -> None:
        """Receive the next `length` bytes of the target.

        Raises:
            Passing: they are not all there, or come too slowly.
        """
        left, received = target.left[:length], 0
        limit = self._begun + self._live.retry.limit(len(target.left) + target.done)
        try:
            while received < length:
                got = _into(response, left[received:])
                received += got
                target.done += got
                if not got:
                    raise Passing(f"the answer broke off after {received} of {length} bytes")
                if received < length and monotonic() > limit:
                    raise Passing(f"{received} of {length} bytes came in time")
        finally:
            self._counters.add(bytes=received)
        if target.left:
            raise Passing(f"the answer had {length} bytes, {len(target.left)} are missing", after=None)


def _range(start: int, stop: int | None) -> str:
    return f"bytes={start}-{'' if stop is None else stop - 1}"


def _into(response: HTTPResponse, left: memoryview) -> int:
    """Receive some bytes: what one call to the system gives, so that none are lost when the next one fails."""
    if response.chunked:
        return response.readinto(left[:_PIECE])
    return response.fp.readinto1(left)


def _skip(response: HTTPResponse, size: int) -> None:
    aside = np.empty(min(size, _PIECE), np.uint8).data
    while size:
        got = _into(response, aside[:size])
        if not got:
            raise Passing("the answer broke off before the range")
        size -= got


def _reason(error: OSError | HTTPException, stall: float) -> str:
    """What happened, without the URL or content that http.client's texts may hold."""
    if isinstance(error, HTTPException) and not isinstance(error, OSError):
        return f"not an HTTP answer ({type(error).__name__})"
    if isinstance(error, TimeoutError) and not error.strerror:
        return f"nothing came for {stall:g} s"
    return (error.strerror or str(error) or type(error).__name__).lower()
