"""Refused requests, for the audit: counted for a minute, so that nobody can flood the log.

Whoever is refused is told in one event a minute for each reason and thing asked for, with how many times; nobody known,
in one for each reason and address. It is the worker's own count, written when the minute ends or the worker does: one
that is killed loses the last minute's refusals, and nothing of what was given, which is logged before it is.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Scope

from ropeway.errors import RopewayError, ServiceError
from ropeway.keys import is_dataset
from ropeway.saved import is_id
from ropeway_server.audit import AuditLog
from ropeway_server.audit_chain import Event
from ropeway_server.logs import REQUEST_ID, method_of, route_of
from ropeway_server.principals import ANONYMOUS, Principal, Refused

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two writings."""

MOST = 1024
"""Different refusals that are told one by one in a minute; the others only as a number."""

LONGEST = 128
"""Characters of a dataset's id that is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is counted together.

    Attributes:
        who: as far as known; the holder of a token that was good once, too.
        address: of the client, where nobody is known.
        status: of the answer.
        reason: in a few words of ours.
        datasets: that were asked for, are there, and were not given.
        view: the same of a view.
    """

    who: Principal = ANONYMOUS
    address: str = ""
    status: int
    reason: str
    datasets: tuple[str, ...] = ()
    view: str = ""


@dataclass(frozen=True, slots=True)
class _Times:
    """How often, and of the first time what it was like."""

    times: int
    first: str
    last: str
    request: Mapping[str, str]


class Refusals:
    """This worker's refusals that are not in the audit yet. Safe to use from threads."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._lock = threading.Lock()
        self._waiting: dict[Refusal, _Times] = {}

    def add(self, refusal: Refusal, scope: Scope) -> None:
        """Count one, of a request with that ASGI scope."""
        now, address = datetime.now(UTC).isoformat(timespec="milliseconds"), _address(scope)
        if not refusal.who.name:
            refusal = replace(refusal, address=address)
        request = {
            "method": method_of(scope), "route": route_of(scope), "address": address,
            "request": scope.get(REQUEST_ID, ""), "asked": _asked(scope.get("path_params", {})),
        }  # fmt: skip
        with self._lock:
            self._count(refusal, _Times(1, now, now, request))

    def write(self) -> None:
        """Write what there is into the audit.

        Raises:
            ServiceError: the database does not take it; it stays for the next time.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            self._audit.add(*(_event(refusal, times) for refusal, times in waiting.items()))
        except ServiceError:
            with self._lock:
                for refusal, times in waiting.items():
                    self._count(refusal, times)
            raise

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write every minute, and once more at the end."""
        writing = asyncio.create_task(self._write_on())
        try:
            yield
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await self._try()

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self._try()

    async def _try(self) -> None:
        try:
            await run_in_threadpool(self.write)
        except ServiceError:
            log.exception("%d refusals wait for the database to be written to the audit", len(self._waiting))

    def _count(self, refusal: Refusal, more: _Times) -> None:
        if refusal not in self._waiting and len(self._waiting) >= MOST:
            refusal = Refusal(status=refusal.status, reason="one of too many to be told one by one")
        if (known := self._waiting.get(refusal)) is not None:
            earlier = min(known, more, key=lambda times: times.first)
            more = replace(earlier, times=known.times + more.times, last=max(known.last, more.last))
        self._waiting[refusal] = more


def refusal_of(request: Request, error: RopewayError, status: int) -> Refusal | None:
    """What a request was refused; None where its error is no refusal."""
    reader = getattr(request.state, "reader", None)  # of one who is known
    kept = () if reader is None else tuple(sorted(reader.kept_back))
    if not isinstance(error, Refused) and not kept:
        return None
    reason, who = (error.reason, error.who) if isinstance(error, Refused) else ("may not be read", ANONYMOUS)
    if reader is not None:
        who = reader.principal
    view = request.path_params.get("view_id", "") if kept else ""
    return Refusal(
        who=Principal(name=who.name, token=who.token), status=status, reason=reason, datasets=kept,
        view=view if is_id(view) else "",
    )  # fmt: skip


def _address(scope: Scope) -> str:
    """Of the client; a proxy may pass on what somebody made up."""
    try:
        return str(ip_address((scope.get("client") or ("", 0))[0]))
    except ValueError:
        return "unknown"


def _asked(path: Mapping[str, str]) -> str:
    """The dataset or view in a path, and nothing that could be a person's."""
    if is_id(view := path.get("view_id", "")):
        return f"view {view}"
    dataset = path.get("dataset", path.get("path", "").partition("/")[0])
    return f"dataset {dataset}" if is_dataset(dataset) and len(dataset) <= LONGEST else ""


def _event(refusal: Refusal, times: _Times) -> Event:
    return Event(
        principal=refusal.who.shown, token=refusal.who.token, action="refused", view=refusal.view, at=times.first,
        datasets=refusal.datasets,
        detail={"reason": refusal.reason, "status": refusal.status, "times": times.times, "last": times.last,
                **times.request},
    )  # fmt: skip
