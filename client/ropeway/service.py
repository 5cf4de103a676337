"""One index service: where it is, who asks, and requests to it."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import msgspec
import urllib3

from ropeway import errors, wire
from ropeway.cache import DiskCache
from ropeway.errors import RopewayError, ServiceError, UsageError
from ropeway.page_cache import kept

T = TypeVar("T")

TOKEN = "ROPEWAY_TOKEN"
"""The environment variable that holds a token."""

_RETRY = urllib3.Retry(
    total=8, connect=5, backoff_factor=0.15, backoff_max=1.2, backoff_jitter=0.1,
    status_forcelist=(429, 502, 503, 504), allowed_methods=None, respect_retry_after_header=False,
    raise_on_status=False,
)  # fmt: skip
"""Tries for about seven seconds, whatever a server asks for: longer than a proxy takes to see that a replica is back,
even where the last other one dies meanwhile. Where nobody listens, for three: a restart is survived, and a dead service
or a wrong address is told soon."""

_TIMEOUT = urllib3.Timeout(connect=5, read=60)
_pools: dict[int, urllib3.PoolManager] = {}
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Service:
    """Requests to one service. Picklable, with its token: so that worker processes may ask, too.

    Attributes:
        url: without a slash at its end.
        token: says who asks; None for nobody. It is in no text that this makes.
        cache: where pages of views are kept on this node's disk; None for nowhere.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    cache: DiskCache | None = field(default=None, compare=False)

    @classmethod
    def at(cls, url: str, token: str | None = None, cache: DiskCache | None = None) -> "Service":
        """The service at a URL, asked by a token, or by what ROPEWAY_TOKEN holds.

        Raises:
            UsageError: the token is not one line of ASCII.
        """
        found = (token if token is not None else os.environ.get(TOKEN, "")).strip()
        if not found.isascii() or not found.isprintable() or " " in found:
            raise UsageError(f"not a token (see token=…, or {TOKEN}): it is one word of plain letters and signs")
        return cls(url.rstrip("/"), found or None, cache)

    def ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """One request, its JSON answer read as `kind`.

        Raises:
            ServiceError: no answer, or not one of an index service; else the error that the service answered with.
        """
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        content = None if body is None else msgspec.json.encode(body)
        answer = self._request(method, path, content, headers)
        try:
            return _decoder(kind).decode(answer.data)
        except msgspec.MsgspecError as error:
            url = self._shown(path)
            raise ServiceError(f"not an answer of an index service: {error}", status=answer.status, url=url) from error

    def fetch(self, path: str, media_type: str, body: object = None) -> bytes:
        """What is at a path, or what it answers to a body, in one media type; raises as `ask` does.

        An answer of another type is none of the service's: a proxy's page of its own, which nobody may keep as ours.
        """
        headers = {"Accept": media_type, "Accept-Encoding": "zstd", "Content-Type": "application/json"}
        method, content = ("GET", None) if body is None else ("POST", msgspec.json.encode(body))
        answer = self._request(method, path, content, headers)
        if (given := answer.headers.get("Content-Type", "").partition(";")[0]) != media_type:
            problem = f"not an answer of an index service: {given[:64] or 'nothing'} in place of {media_type}"
            raise ServiceError(problem, status=answer.status, url=self._shown(path))
        return wire.decompressed(answer.data) if answer.headers.get("Content-Encoding") == "zstd" else answer.data

    def page(self, view: str, path: str) -> bytes | memoryview:
        """A page of a view, from the disk cache where there is one and it has it; raises as `ask` does."""
        fetch = partial(self.fetch, path, wire.MEDIA_TYPE)
        return fetch() if self.cache is None else kept(self.cache, self.url + path, view, fetch)

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        if self.token is not None:
            headers = {**headers, "Authorization": f"Bearer {self.token}"}
        try:
            answer = _pool().request(
                method,
                self.url + path,
                body=body,
                headers=headers,
                retries=_RETRY,
                timeout=_TIMEOUT,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ServiceError(
                f"no answer ({type(reason).__name__}): is the index service running, and is this its address?",
                url=self._shown(path),
            ) from error
        if answer.status >= 400:
            raise _problem(answer, self._shown(path))
        return answer

    def _shown(self, path: str) -> str:
        return f"{self.url}{path}".partition("?")[0]


def _pool() -> urllib3.PoolManager:
    """This process's connections: sockets made before a fork are not shared with the child."""
    process = os.getpid()
    pool = _pools.get(process)
    if pool is None:
        for parent in [other for other in _pools if other != process]:
            _pools.pop(parent, None)
        pool = _pools.setdefault(process, urllib3.PoolManager(num_pools=16, maxsize=32))
    return pool


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Made one at a time: see `manifest_reading`."""
    if kind not in _decoders:
        with _making:
            _decoders[kind] = msgspec.json.Decoder(kind)
    return _decoders[kind]


class _Problem(msgspec.Struct):
    detail: str
    type: str = ""


def _problem(answer: urllib3.BaseHTTPResponse, url: str) -> RopewayError:
    """The service's problem document as the error it was there."""
    try:
        problem = _decoder(_Problem).decode(answer.data)
    except msgspec.MsgspecError:
        return ServiceError(f"status {answer.status}{_request(answer)}", status=answer.status, url=url)
    kind = getattr(errors, problem.type, None)
    if isinstance(kind, type) and issubclass(kind, RopewayError) and kind is not ServiceError:
        others = answer.status >= 500 or issubclass(kind, errors.AccessDenied)  # who asks can do nothing about it alone
        error = kind(f"{problem.detail}{_request(answer)}" if others else problem.detail)
        error.add_note(f"the service's log has it as{_request(answer)}")
        return error
    return ServiceError(f"{problem.detail}{_request(answer)}", status=answer.status, url=url)


def _request(answer: urllib3.BaseHTTPResponse) -> str:
    """The id under which the service's log has a request."""
    given = answer.headers.get("X-Request-ID", "")
    return f" (request {given[:64]})" if given else ""
