"""What an answer to a range request means: pure, but for reading the few bytes of an error's text."""

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ropeway.errors import NotFound, StoreError

MAX_SKIP = 64 << 20
"""Bytes in front of a range that are read and thrown away where a server knows no ranges."""

_PASSING = (408, 429, 500, 502, 503, 504)
_MOVED = (301, 302, 303, 307, 308)
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired")
"""S3's codes for credentials that have ended, which it sends with status 400."""

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_NO_RANGE = re.compile(r"bytes \*/(\d+)")
_CODE = re.compile(rb"<Code>(\w+)</Code>")
_ERROR_BYTES = 16 << 10


class Passing(Exception):
    """A failure that another try may not meet.

    Args:
        reason: what went wrong, for people.
        after: seconds that the server asks to wait; None says that there is nothing to wait for.
    """

    def __init__(self, reason: str, after: float | None = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.after = reason, after


class Refused(Exception):
    """The URL, or the credentials in it, are not accepted."""


class Moved(Exception):
    """The answer is to be had at another URL."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url


class Ended(Exception):
    """The object has fewer bytes than asked for: `size`, or None where the server does not say."""

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self.size = size


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a good answer: `skip` bytes before the wanted ones, then `length` of them; `total` of the object.

    `whole` says that nothing comes after, so that the connection can be used again.
    """

    skip: int
    length: int
    total: int | None
    etag: str
    whole: bool


def shown(url: str | SplitResult) -> str:
    """A URL without its secrets: query and password."""
    parts = urlsplit(url) if isinstance(url, str) else url
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def understand(response: HTTPResponse, url: SplitResult, start: int, stop: int | None) -> Body:
    """What follows the head of an answer to a GET for bytes `start` to `stop` (None: to the end).

    Raises:
        Passing, Refused, Moved, Ended: as they say.
        NotFound: no such object.
        StoreError: anything else than the bytes asked for.
    """
    match response.status:
        case 206:
            return _part(response, url, start, stop)
        case 200:
            return _all(response, url, start, stop)
        case 416:
            found = _NO_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            raise Ended(int(found[1]) if found else None)
        case status if status in _MOVED and "Location" in response.headers:
            raise Moved(_next(url, response.headers["Location"]))
        case status if status in _PASSING:
            raise Passing(f"status {status}", _after(response))
    _refuse(response, url)
    raise AssertionError  # the line above always raises


def _part(response: HTTPResponse, url: SplitResult, start: int, stop: int | None) -> Body:
    given = response.headers.get("Content-Range")
    found = _RANGE.fullmatch(given or "")
    total = int(found[3]) if found and found[3] != "*" else None
    first, last = (int(found[1]), int(found[2]) + 1) if found else (start, start + (response.length or 0))
    if stop is None:
        stop = total if total is not None else last
    if total is not None and total < stop:
        raise Ended(total)
    if first != start or not start < last <= stop or (given is not None and not found):
        raise StoreError(f"answered with the range {given or 'of no length'!r} when {start} to {stop} was asked for",
                         url=shown(url))  # fmt: skip
    if response.length is not None and response.length != last - first:
        raise StoreError(f"answered with {response.length} bytes for the range {start} to {stop}", url=shown(url))
    return Body(0, last - first, total, response.headers.get("ETag", ""), whole=not response.chunked)


def _all(response: HTTPResponse, url: SplitResult, start: int, stop: int | None) -> Body:
    """The whole object, of a server that knows no ranges; or because the whole was asked for."""
    total = None if response.chunked else response.length
    if stop is None:
        if total is None:
            raise StoreError("the server does not say how many bytes the object has", url=shown(url))
        stop = total
    if total is not None and total < stop:
        raise Ended(total)
    if start > MAX_SKIP:
        raise StoreError(f"the server knows no ranges, and byte {start} is too far from the start to read up to",
                         url=shown(url))  # fmt: skip
    return Body(start, stop - start, total, response.headers.get("ETag", ""), whole=stop == total)


def _refuse(response: HTTPResponse, url: SplitResult) -> None:
    code = _code(response)
    status = response.status
    if status in (401, 403) or code in _EXPIRED:
        raise Refused(code or f"status {status}")
    if status == 404:
        raise NotFound("no such bucket" if code == "NoSuchBucket" else "no such object", url=shown(url))
    raise StoreError(f"request failed: status {status}{f' ({code})' if code else ''}", url=shown(url))


def _code(response: HTTPResponse) -> str:
    """S3's word for an error."""
    try:
        found = _CODE.search(response.read(_ERROR_BYTES))
    except (OSError, HTTPException):
        return ""
    return found[1].decode() if found else ""


def _next(url: SplitResult, location: str) -> str:
    there = urljoin(urlunsplit(url), location)
    if urlsplit(there).scheme not in ("http", "https") or (url.scheme == "https" and not there.startswith("https:")):
        raise StoreError(f"redirected to where nothing is encrypted: {shown(there)}", url=shown(url))
    return there


def _after(response: HTTPResponse) -> float:
    """Seconds of a Retry-After header, which may be a time of the server's own clock."""
    asked, now = response.headers.get("Retry-After", ""), response.headers.get("Date", "")
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
