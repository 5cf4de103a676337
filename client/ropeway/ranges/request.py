"""One request for a range: sent, understood, and received into its target."""

import ssl
from http.client import HTTPException, HTTPResponse
from time import monotonic
from urllib.parse import SplitResult, urlsplit

import numpy as np

from ropeway.errors import StoreError
from ropeway.ranges.answer import Body, Moved, Passing, shown, understand
from ropeway.ranges.connections import Connection, Stale
from ropeway.ranges.counts import Counters
from ropeway.ranges.live import Live
from ropeway.ranges.race import Race
from ropeway.ranges.target import Target

_PIECE = 256 << 10
"""Bytes received at once where http.client has to take the body apart."""

_MOVES = 5
"""Redirects followed one after the other."""


class Requests:
    """Sends the requests for one range, each in its caller's thread.

    Args:
        live: what this process holds.
        counters: are told what is done.
        race: in which each takes part.
        begun: when the range was first asked for, by the monotonic clock.
    """

    def __init__(self, live: Live, counters: Counters, race: Race, begun: float) -> None:
        self._live, self._counters, self._race, self._begun = live, counters, race, begun

    def get(self, url: str, target: Target) -> None:
        """Fill what is left of the target by one request, and those that redirects lead to.

        Raises:
            Passing: not all came this time, or it came too slowly, or the race is over.
            Refused: the URL is not good any more.
            Ended: the object has fewer bytes.
            NotFound, StoreError: as `RangeClient.read`.
        """
        for _ in range(_MOVES):
            try:
                return self._ask(urlsplit(url), target)
            except Moved as moved:
                url = moved.url
        raise StoreError(f"redirected more than {_MOVES} times", url=shown(url))

    def _ask(self, url: SplitResult, target: Target) -> None:
        connection = self._live.connections.take(url)
        if not self._race.join(connection):
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
            if self._race.leave(connection) and reusable:
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
        """See that a body goes with what is there."""
        if target.stop is None:  # an object that is read whole is read once
            target.stop = target.start + body.length
            target.buffer = np.empty(body.length, np.uint8)
        if target.etag and body.etag and target.etag != body.etag:
            raise StoreError("the object was replaced while it was read", url=shown(url))
        target.total, target.etag = body.total, body.etag

    def _fill(self, response: HTTPResponse, target: Target, length: int) -> None:
        """Receive the next `length` bytes of the target.

        Raises:
            Passing: they are not all there, or come too slowly.
        """
        received = 0
        limit = self._begun + self._live.retry.limit(target.missing + target.done)
        try:
            while received < length:
                got = _into(response, target.room(self._live.buffers)[: length - received])
                received += got
                target.add(got)
                if not got:
                    raise Passing(f"the answer broke off after {received} of {length} bytes")
                if received < length and monotonic() > limit:
                    raise Passing(f"{received} of {length} bytes came in time")
        finally:
            self._counters.add(bytes=received)
        if target.missing:
            raise Passing(f"the answer had {length} bytes, {target.missing} are missing", after=None)


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
