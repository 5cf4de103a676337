"""Reads byte ranges by URL."""

import ssl
from collections.abc import Callable

from ropeway.errors import StoreError
from ropeway.ranges.answer import Ended, shown
from ropeway.ranges.counts import Counters
from ropeway.ranges.live import Live
from ropeway.ranges.policy import HEDGE, RETRY, Hedge, Retry
from ropeway.ranges.reading import Reading, UrlOf
from ropeway.ranges.target import Pieces, Target
from ropeway.stores.protocol import too_short


class RangeClient:
    """Byte ranges over HTTP(S), received into reused buffers. Safe to use from threads, and in forked children.

    A read is one request, in the caller's thread. It is tried again as `retry` says, from the byte reached; when it is
    late, a second one is sent beside it as `hedge` says, which holds another buffer of its size meanwhile.

    Args:
        retry, hedge: what is put up with, and when a request counts as late.
        trust: makes the TLS settings; by default the system's certificates, or those that SSL_CERT_FILE names.
        denied: what to tell users when a fresh URL is refused too.
    """

    def __init__(
        self,
        *,
        retry: Retry = RETRY,
        hedge: Hedge = HEDGE,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        denied: str = "access denied: the server refuses this URL",
    ) -> None:
        self._denied = denied
        self._live = Live(retry, hedge, trust)

    def read(self, url_of: UrlOf, start: int, stop: int | None, counters: Counters) -> memoryview:
        """Bytes `start` to `stop` (exclusive; None: to the end) of an object, all of them.

        Returns:
            Bytes; their memory is used again once nobody refers to the view or what was made from it.

        Raises:
            NotFound: no such object.
            AccessDenied: its URL is refused, and a fresh one too.
            StoreError: the object is shorter, the host does not answer in time, or with other bytes than asked for.
                Its `url` is without the query.
        """
        buffer = self._filled(url_of, start, stop, counters).buffer
        return memoryview(b"") if buffer is None else buffer.data

    def receive(self, url_of: UrlOf, start: int, stop: int, counters: Counters, pieces: Pieces) -> None:
        """As `read`; the bytes are given by pieces, the first ones while the last are still to come.

        Raises:
            As `read`; what was told until then are the object's bytes all the same.
        """
        self._filled(url_of, start, stop, counters, pieces)

    def _filled(
        self, url_of: UrlOf, start: int, stop: int | None, counters: Counters, pieces: Pieces | None = None
    ) -> Target:
        if stop is not None and stop <= start:
            return Target(start, stop)
        try:
            return self._reading(url_of, start, stop, counters, pieces).run()
        except Ended as ended:
            url = shown(url_of(""))
            size = self.size(url_of, counters) if ended.size is None else ended.size
            if stop is None:
                return Target(start, stop)
            if size >= stop:
                raise StoreError(f"the server refuses bytes {start} to {stop} of {size}", url=url) from None
            raise too_short(size, stop, url) from None

    def size(self, url_of: UrlOf, counters: Counters) -> int:
        """Bytes of an object; asked by a GET for its first one, which presigned URLs allow.

        Raises:
            As `read`.
        """
        try:
            total = self._reading(url_of, 0, 1, counters).run().total
        except Ended as ended:
            return ended.size or 0
        if total is None:
            raise StoreError("the server does not say how many bytes the object has", url=shown(url_of("")))
        return total

    def _reading(
        self, url_of: UrlOf, start: int, stop: int | None, counters: Counters, pieces: Pieces | None = None
    ) -> Reading:
        self._live = live = self._live.here()
        return Reading(live, counters, url_of, start, stop, self._denied, pieces)
